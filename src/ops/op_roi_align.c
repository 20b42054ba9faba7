/* op_roi_align.c - RoI-align (He et al. 2017, Mask R-CNN), averaged over the box.
 *
 * The mean of samples that lie on a grid within the box is linear in the map, and its
 * weights are a product of one of rows and one of columns:
 *
 *     y[r] = sum over i, j of down[i] across[j] map[i, j]
 *     across[j] = mean over samples s of the tent max(0, 1 - |x_s - j|)
 *     x_s = (x1 + (s + 1/2) / samples (x2 - x1)) side - 1/2,  cut to 0 .. side - 1
 *
 * So the boxes become a sparse matrix on the host, [R, images side^2], and the map's
 * gradient is the product with its transpose. A sample up to one place beyond the map's
 * edge counts as on it, as in torchvision; boxes are shares, so none lies further.
 */
#include "ops/ops.h"

#include <math.h>
#include <string.h>

enum { SIDE_MOST = 1024, SAMPLES_MOST = 64 };

typedef struct roi_node {
    fb_node node;
    fb_var *map;
    fb_csr transpose;
} roi_node;

/* A sparse matrix on the host. */
typedef struct host_csr {
    int32_t *offsets, *columns;
    float *weights;
} host_csr;

static fb_status roi_backward(fb_tape *tape, fb_node *node)
{
    roi_node *n = (roi_node *)node;
    if (!n->map->needs_grad)
        return FB_OK;
    fb_tensor dx;
    bool fresh;
    FB_TRY(fb_tape_grad_begin(tape, n->map, &dx, &fresh));
    FB_TRY(tape->be->k->sparse_product(tape->ctx, tape->be, &dx, &n->transpose,
                                       &node->out->grad));
    return fb_tape_grad_done(tape, n->map, &dx);
}

static fb_status check_roi(fb_tape *tape, const fb_var *map, const fb_roi_align *r)
{
    if (r->images < 0 || r->side < 1 || r->side > SIDE_MOST || r->samples < 1 ||
        r->samples > SAMPLES_MOST || r->count < 0)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "RoI-align: %d boxes, a map of %d places a side, %d samples; "
                       "want a side of 1 to %d and 1 to %d samples",
                       (int)r->count, (int)r->side, (int)r->samples, SIDE_MOST,
                       SAMPLES_MOST);
    if (map->value.dims[0] != (int64_t)r->images * r->side * r->side)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "RoI-align: %lld rows are not %d maps of %d x %d places",
                       (long long)map->value.dims[0], (int)r->images, (int)r->side,
                       (int)r->side);
    for (int32_t i = 0; i < r->count; i++) {
        const float *b = r->boxes + 4 * (int64_t)i;
        if (r->image[i] < 0 || r->image[i] >= r->images)
            return fb_fail(tape->ctx, FB_E_SHAPE,
                           "RoI-align: box %d is of image %d, there are %d", (int)i,
                           (int)r->image[i], (int)r->images);
        if (!(b[0] >= 0 && b[0] <= b[2] && b[2] <= 1 && b[1] >= 0 && b[1] <= b[3] &&
              b[3] <= 1))
            return fb_fail(tape->ctx, FB_E_SHAPE,
                           "RoI-align: box %d (%g, %g, %g, %g) is not within 0 to 1",
                           (int)i, (double)b[0], (double)b[1], (double)b[2],
                           (double)b[3]);
    }
    return FB_OK;
}

typedef struct span {
    int32_t from, to; /* places that have a weight */
    float weight[SIDE_MOST];
} span;

/* The weights of one direction, for a box from `low` to `high` of it. */
static void weigh_places(span *s, double low, double high, const fb_roi_align *r)
{
    int32_t side = r->side;
    s->from = side;
    s->to = 0;
    memset(s->weight, 0, (size_t)side * sizeof *s->weight);
    for (int32_t k = 0; k < r->samples; k++) {
        double x = (low + (k + 0.5) / r->samples * (high - low)) * side - 0.5;
        x = x < 0 ? 0 : x > side - 1 ? side - 1 : x;
        int32_t left = (int32_t)x;
        float right_share = (float)(x - left);
        s->weight[left] += (1.0f - right_share) / (float)r->samples;
        if (right_share > 0)
            s->weight[left + 1] += right_share / (float)r->samples;
        if (left < s->from)
            s->from = left;
        if (left + 1 + (right_share > 0) > s->to)
            s->to = left + 1 + (right_share > 0);
    }
}

/* Entries of box i behind those that are there; m NULL: only counted. */
static int64_t add_box(const host_csr *m, int64_t entry, const fb_roi_align *r,
                       int32_t i, span spans[2])
{
    const float *b = r->boxes + 4 * (int64_t)i;
    span *across = &spans[0], *down = &spans[1];
    weigh_places(across, (double)b[0], (double)b[2], r);
    weigh_places(down, (double)b[1], (double)b[3], r);
    for (int32_t y = down->from; y < down->to; y++)
        for (int32_t x = across->from; x < across->to; x++) {
            float weight = down->weight[y] * across->weight[x];
            if (weight == 0.0f)
                continue;
            if (m) {
                m->columns[entry] = (r->image[i] * r->side + y) * r->side + x;
                m->weights[entry] = weight;
            }
            entry++;
        }
    return entry;
}

static fb_status alloc_csr(fb_tape *tape, host_csr *m, int64_t rows, int64_t entries)
{
    void *weights;
    FB_TRY(fb_tape_ints(tape, &m->offsets, rows + 1));
    FB_TRY(fb_tape_ints(tape, &m->columns, entries));
    FB_TRY(fb_tape_alloc(tape, &weights, ((size_t)entries + 1) * sizeof(float)));
    m->weights = weights;
    return FB_OK;
}

static fb_status make_matrix(fb_tape *tape, host_csr *m, int64_t *entries,
                             const fb_roi_align *r)
{
    void *memory;
    FB_TRY(fb_tape_alloc(tape, &memory, 2 * sizeof(span)));
    span *spans = memory;
    *entries = 0;
    for (int32_t i = 0; i < r->count; i++)
        *entries = add_box(NULL, *entries, r, i, spans);
    if (*entries > INT32_MAX)
        return fb_fail(tape->ctx, FB_E_SHAPE, "RoI-align: %d boxes are too many",
                       (int)r->count);
    FB_TRY(alloc_csr(tape, m, r->count, *entries));
    int64_t entry = 0;
    for (int32_t i = 0; i < r->count; i++) {
        m->offsets[i] = (int32_t)entry;
        entry = add_box(m, entry, r, i, spans);
    }
    m->offsets[r->count] = (int32_t)entry;
    return FB_OK;
}

/* By a counting sort over columns, which keeps rows ascending within each. */
static fb_status transpose(fb_tape *tape, host_csr *t, const host_csr *m, int64_t rows,
                           int64_t columns)
{
    int64_t entries = m->offsets[rows];
    FB_TRY(alloc_csr(tape, t, columns, entries));
    memset(t->offsets, 0, (size_t)(columns + 1) * sizeof *t->offsets);
    for (int64_t k = 0; k < entries; k++)
        t->offsets[m->columns[k] + 1]++;
    for (int64_t c = 0; c < columns; c++)
        t->offsets[c + 1] += t->offsets[c];
    for (int64_t r = 0; r < rows; r++)
        for (int32_t k = m->offsets[r]; k < m->offsets[r + 1]; k++) {
            int32_t at = t->offsets[m->columns[k]]++;
            t->columns[at] = (int32_t)r;
            t->weights[at] = m->weights[k];
        }
    for (int64_t c = columns; c > 0; c--) /* each start moved to its end: move back */
        t->offsets[c] = t->offsets[c - 1];
    t->offsets[0] = 0;
    return FB_OK;
}

static fb_status upload(fb_tape *tape, fb_csr *on, const host_csr *m, int64_t rows)
{
    int64_t entries = m->offsets[rows];
    FB_TRY(fb_tape_upload_i32(tape, &on->offsets, m->offsets, rows + 1));
    FB_TRY(fb_tape_upload_i32(tape, &on->columns, m->columns, entries));
    return fb_tape_upload_f32(tape, &on->weights, m->weights, entries);
}

fb_status fb_op_roi_align(fb_tape *tape, fb_var **y, fb_var *map,
                          const fb_roi_align *roi)
{
    double started_s = fb_tape_clock(tape);
    int64_t entries, places = map->value.dims[0];
    host_csr m, t;
    fb_csr on, transposed = {0};
    fb_var *out;
    fb_node *node;
    FB_TRY(check_roi(tape, map, roi));
    FB_TRY(make_matrix(tape, &m, &entries, roi));
    FB_TRY(upload(tape, &on, &m, roi->count));
    FB_TRY(
        fb_tape_new_var(tape, &out, map->value.dtype, roi->count, map->value.dims[1]));
    FB_TRY(tape->be->k->sparse_product(tape->ctx, tape->be, &out->value, &on,
                                       &map->value));
    if (tape->recording && map->needs_grad) {
        FB_TRY(transpose(tape, &t, &m, roi->count, places));
        FB_TRY(upload(tape, &transposed, &t, places));
    }
    fb_tape_charge(tape, "RoI-align", started_s);
    FB_TRY(fb_tape_append(tape, &node, sizeof(roi_node), "RoI-align", "", out,
                          roi_backward));
    if (node) {
        roi_node *n = (roi_node *)node;
        n->map = map;
        n->transpose = transposed;
    }
    *y = out;
    return FB_OK;
}
