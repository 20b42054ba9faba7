/* cca_fit.c - CCA's one pass over the training split; see cca_model.h.
 *
 *     sample      first products, kept: x [kept, raw] f32 and their tokens
 *       pieces    df, the columns of y, idf
 *       kernels   the median distance
 *       sums      all of it but the held-out end
 *     the rest    added batch by batch
 *     ridges      by the held-out end, which then is added too
 *     solved
 */
#include "models/cca/cca_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, HELD_MOST = 1000, HELD_LEAST = 50, PAIRS = 1000 };
static const double ridges[] = {1e-2, 1e-5, 1e-4, 1e-3, 1e-1};
static const double small_ridge = 1e-2; /* of splits too small to hold products out */
static const double absolute = 1e-8;    /* beside eta, as Klein's code has it */

typedef struct fitting {
    fb_context *ctx;
    fb_cca *m;
    const fb_batch_stream *batches;
    const fb_cca_config *config;
    fb_cca_widths w;
    int64_t left;            /* rows of the epoch that did not come yet */
    const fb_batch *pending; /* came, and is not in the sample */
    int32_t kept, room, held;
    float *x;                 /* [room, raw] */
    int32_t *ids, *offsets;   /* tokens of the kept, [room + 1] */
    int32_t *column;          /* [V] */
    float *idf;               /* [V] */
    fb_matrix raw[2], phi[2]; /* of a block */
    fb_covariance sums;
} fitting;

static fb_status fail_memory(const fitting *f)
{
    return fb_fail(f->ctx, FB_E_MEMORY, "no memory for cca's sample of %d products",
                   (int)f->room);
}

static void clear(fitting *f)
{
    free(f->x);
    free(f->ids);
    free(f->offsets);
    free(f->column);
    free(f->idf);
    for (int v = 0; v < 2; v++) {
        free(f->raw[v].at);
        free(f->phi[v].at);
    }
    fb_covariance_clear(&f->sums);
}

/* ---- the sample ------------------------------------------------------------------- */

/* The next batch's first *count rows are of this epoch. */
static fb_status next(fitting *f, const fb_batch **batch, int32_t *count)
{
    *count = 0;
    FB_TRY(f->batches->next(f->batches->self, f->ctx, batch));
    if (!*batch)
        return FB_OK;
    *count = (*batch)->images < f->left ? (*batch)->images : (int32_t)f->left;
    f->left -= *count;
    return FB_OK;
}

/* Raw x of a batch, in f->batch's own arena until the next. */
static fb_status images_of(fitting *f, const fb_batch *batch, fb_matrix *x)
{
    fb_tape tape = {0};
    void *memory;
    fb_arena_reset(f->batches->arena);
    fb_tape_begin(&tape, f->ctx, f->batches->be, f->batches->arena, false);
    FB_TRY(fb_tape_alloc(&tape, &memory,
                         (size_t)batch->images * (size_t)f->w.raw[0] * sizeof(double)));
    *x = fb_matrix_of(memory, batch->images, f->w.raw[0]);
    return fb_cca_images(f->m, &tape, batch, *x);
}

static fb_status keep(fitting *f, const fb_batch *batch, int32_t count)
{
    fb_matrix x;
    int64_t numbers = (int64_t)count * f->w.raw[0];
    float *to = f->x + (ptrdiff_t)f->kept * f->w.raw[0];
    FB_TRY(images_of(f, batch, &x));
    for (int64_t i = 0; i < numbers; i++)
        to[i] = (float)x.at[i];
    int32_t start = f->offsets[f->kept], tokens = batch->text_offsets[count];
    memcpy(f->ids + start, batch->token_ids, (size_t)tokens * sizeof *f->ids);
    for (int32_t i = 1; i <= count; i++)
        f->offsets[f->kept + i] = start + batch->text_offsets[i];
    f->kept += count;
    return FB_OK;
}

static fb_status make_room(fitting *f, int32_t batch)
{
    int32_t room = fb_cca_sample(f->m);
    f->room = room < f->batches->rows ? room : (int32_t)f->batches->rows;
    if (f->room < batch)
        f->room = batch;
    size_t rows = (size_t)f->room;
    f->x = malloc(rows * (size_t)f->w.raw[0] * sizeof *f->x);
    f->ids = malloc(rows * (size_t)f->m->matcher.config.max_text * sizeof *f->ids);
    f->offsets = calloc(rows + 1, sizeof *f->offsets);
    return f->x && f->ids && f->offsets ? FB_OK : fail_memory(f);
}

static fb_status take_sample(fitting *f)
{
    int32_t count;
    for (;;) {
        FB_TRY(next(f, &f->pending, &count));
        if (!f->pending || count == 0) {
            f->pending = NULL;
            return FB_OK;
        }
        if (!f->x)
            FB_TRY(make_room(f, count));
        if (f->kept + count > f->room) {
            f->left += count; /* it is added as the first of the rest */
            return FB_OK;
        }
        FB_TRY(keep(f, f->pending, count));
    }
}

/* ---- pieces and kernels ----------------------------------------------------------- */

typedef struct counted {
    int32_t texts, id;
} counted;

static int by_texts(const void *x, const void *y)
{
    const counted *a = x, *b = y;
    if (a->texts != b->texts)
        return a->texts > b->texts ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* In how many texts of the sample each piece is. */
static void count_texts(const fitting *f, counted *counts, int32_t *last, int32_t vocab)
{
    for (int32_t id = 0; id < vocab; id++) {
        counts[id] = (counted){0, id};
        last[id] = -1;
    }
    for (int32_t i = 0; i < f->kept; i++)
        for (int32_t t = f->offsets[i] + 1; t < f->offsets[i + 1] - 1; t++) {
            int32_t id = f->ids[t];
            counts[id].texts += last[id] != i;
            last[id] = i;
        }
}

static fb_status choose_pieces(fitting *f)
{
    int32_t vocab = f->m->matcher.config.vocab, columns = 0;
    counted *counts = calloc((size_t)vocab, sizeof *counts);
    f->column = calloc((size_t)vocab, sizeof *f->column);
    f->idf = calloc((size_t)vocab, sizeof *f->idf);
    fb_status status = counts && f->column && f->idf ? FB_OK : fail_memory(f);
    if (status == FB_OK) {
        count_texts(f, counts, f->column, vocab);
        qsort(counts, (size_t)vocab, sizeof *counts, by_texts);
        for (; columns < f->w.raw[1] && counts[columns].texts >= 2; columns++)
            f->idf[counts[columns].id] =
                (float)(log((1.0 + f->kept) / (1.0 + counts[columns].texts)) + 1);
        fb_cca_columns(f->column, f->idf, vocab);
        if (columns == 0)
            status = fb_fail(f->ctx, FB_E_MISSING,
                             "cca: no piece of a word is in two of %d texts, there is "
                             "nothing to correlate",
                             (int)f->kept);
    }
    free(counts);
    return status;
}

/* Raw vectors of kept products first .. first + count - 1. */
static void kept_rows(const fitting *f, int32_t first, int32_t count, fb_matrix *x,
                      fb_matrix *y)
{
    int64_t numbers = (int64_t)count * f->w.raw[0];
    const float *from = f->x + (ptrdiff_t)first * f->w.raw[0];
    x->rows = y->rows = count;
    for (int64_t i = 0; i < numbers; i++)
        x->at[i] = (double)from[i];
    fb_cca_texts(f->column, f->idf, f->ids, f->offsets + first, *y);
}

static int by_size(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* The median distance of neighbours in the shuffled order; 1 where it is 0. */
static double median_distance(const fitting *f, int view)
{
    double distance[PAIRS];
    int32_t count = 0;
    fb_matrix x = f->raw[0], y = f->raw[1];
    for (int32_t first = 0; first + 1 < f->kept && count < PAIRS; first += BLOCK) {
        int32_t rows = f->kept - first < BLOCK ? f->kept - first : BLOCK;
        kept_rows(f, first, rows, &x, &y);
        fb_matrix v = view == FB_VIEW_IMAGE ? x : y;
        for (int32_t i = 0; i + 1 < rows && count < PAIRS; i++) {
            double sum = 0;
            for (int32_t j = 0; j < v.columns; j++) {
                const double *a = v.at + (ptrdiff_t)i * v.columns + j;
                sum += (a[0] - a[v.columns]) * (a[0] - a[v.columns]);
            }
            distance[count++] = sqrt(sum);
        }
    }
    qsort(distance, (size_t)count, sizeof distance[0], by_size);
    return count > 0 && distance[count / 2] > 0 ? distance[count / 2] : 1;
}

/* Frequencies come with deviation 1 (begin). */
static fb_status scale_kernels(fitting *f)
{
    for (int v = 0; v < 2; v++) {
        if (!f->config->kernel[v])
            continue;
        fb_leaf *leaf = f->m->frequency[v];
        const float *drawn = fb_params_value(f->m->matcher.params, leaf);
        double s = median_distance(f, v);
        fb_matrix scaled;
        FB_TRY(fb_matrix_create(f->ctx, &scaled, f->w.d[v], f->w.raw[v]));
        for (int64_t i = 0; i < (int64_t)f->w.d[v] * f->w.raw[v]; i++)
            scaled.at[i] = (double)drawn[i] / s;
        fb_status status = fb_projection_write(f->ctx, f->m->matcher.params,
                                               f->batches->be, leaf, scaled.at);
        free(scaled.at);
        FB_TRY(status);
    }
    return FB_OK;
}

/* ---- sums ------------------------------------------------------------------------- */

/* Raw vectors of a view as what is correlated; phi has room. */
static fb_status through_kernel(const fitting *f, int view, fb_matrix raw,
                                fb_matrix phi, fb_matrix *out)
{
    const fb_params *p = f->m->matcher.params;
    *out = raw;
    if (!f->config->kernel[view])
        return FB_OK;
    phi.rows = raw.rows;
    *out = phi;
    return fb_cca_kernel(f->ctx, phi, raw, fb_params_value(p, f->m->frequency[view]),
                         fb_params_value(p, f->m->phase[view]));
}

static fb_status add(fitting *f, fb_matrix x, fb_matrix y)
{
    fb_matrix both[2];
    FB_TRY(through_kernel(f, FB_VIEW_IMAGE, x, f->phi[0], &both[0]));
    FB_TRY(through_kernel(f, FB_VIEW_TEXT, y, f->phi[1], &both[1]));
    fb_status status = fb_covariance_add(f->ctx, &f->sums, both[0], both[1]);
    return status == FB_E_NUMBER ? fb_fail_in(f->ctx, "cca, an image's vector")
                                 : status;
}

static fb_status add_kept(fitting *f, int32_t first, int32_t end)
{
    for (; first < end; first += BLOCK) {
        int32_t count = end - first < BLOCK ? end - first : BLOCK;
        kept_rows(f, first, count, &f->raw[0], &f->raw[1]);
        FB_TRY(add(f, f->raw[0], f->raw[1]));
    }
    return FB_OK;
}

static fb_status add_batch(fitting *f, const fb_batch *batch, int32_t rows)
{
    fb_matrix x;
    FB_TRY(images_of(f, batch, &x));
    for (int32_t first = 0; first < rows; first += BLOCK) {
        int32_t count = rows - first < BLOCK ? rows - first : BLOCK;
        f->raw[1].rows = count;
        fb_cca_texts(f->column, f->idf, batch->token_ids, batch->text_offsets + first,
                     f->raw[1]);
        FB_TRY(add(f,
                   fb_matrix_of(x.at + (ptrdiff_t)first * x.columns, count, x.columns),
                   f->raw[1]));
    }
    return FB_OK;
}

static fb_status add_rest(fitting *f)
{
    int32_t count = 0;
    if (!f->pending)
        return FB_OK;
    count = f->pending->images < f->left ? f->pending->images : (int32_t)f->left;
    f->left -= count;
    while (f->pending && count > 0) {
        FB_TRY(add_batch(f, f->pending, count));
        FB_TRY(next(f, &f->pending, &count));
    }
    return FB_OK;
}

/* ---- the ridge -------------------------------------------------------------------- */

/* z [held,k]: unit vectors of a view of what was held out. */
static void project(fb_matrix z, fb_matrix v, const fb_canonical *s, int view,
                    double power)
{
    const double *mean = view == FB_VIEW_IMAGE ? s->mean_x : s->mean_y;
    for (int32_t i = 0; i < v.rows; i++)
        for (int32_t j = 0; j < v.columns; j++)
            v.at[(ptrdiff_t)i * v.columns + j] -= mean[j];
    fb_dense_multiply(z, false, 1, FB_DENSE_NN, v, view == FB_VIEW_IMAGE ? s->a : s->b);
    for (int32_t i = 0; i < v.rows; i++)
        for (int32_t j = 0; j < v.columns; j++)
            v.at[(ptrdiff_t)i * v.columns + j] += mean[j];
    for (int32_t i = 0; i < z.rows; i++) {
        double *row = z.at + (ptrdiff_t)i * z.columns, squares = 0;
        for (int32_t j = 0; j < z.columns; j++) {
            row[j] *= s->rho[j] > 0 ? pow(s->rho[j], power) : 0;
            squares += row[j] * row[j];
        }
        for (int32_t j = 0; squares > 0 && j < z.columns; j++)
            row[j] /= sqrt(squares);
    }
}

/* Mean of 1 / rank of each one's own, both ways, ties against it. */
static double reciprocal_rank(fb_matrix similarity)
{
    int32_t n = similarity.rows;
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        double own = similarity.at[(ptrdiff_t)i * n + i];
        int32_t row = 0, column = 0;
        for (int32_t j = 0; j < n; j++) {
            row += similarity.at[(ptrdiff_t)i * n + j] >= own;
            column += similarity.at[(ptrdiff_t)j * n + i] >= own;
        }
        sum += 1.0 / row + 1.0 / column;
    }
    return sum;
}

typedef struct trial {
    fb_matrix v[2], z[2], similarity; /* [held,d], [held,k], [held,held] */
} trial;

static fb_status open_trial(fitting *f, trial *t, int32_t k)
{
    fb_matrix raw[2] = {{0}, {0}};
    fb_status status = fb_matrix_create(f->ctx, &t->similarity, f->held, f->held);
    for (int v = 0; v < 2 && status == FB_OK; v++) {
        status = fb_matrix_create(f->ctx, &raw[v], f->held, f->w.raw[v]);
        if (status == FB_OK)
            status = fb_matrix_create(f->ctx, &t->v[v], f->held, f->w.d[v]);
        if (status == FB_OK)
            status = fb_matrix_create(f->ctx, &t->z[v], f->held, k);
    }
    if (status == FB_OK)
        kept_rows(f, f->kept - f->held, f->held, &raw[0], &raw[1]);
    for (int v = 0; v < 2 && status == FB_OK; v++) {
        fb_matrix out;
        status = through_kernel(f, v, raw[v], t->v[v], &out);
        if (status == FB_OK && out.at != t->v[v].at)
            memcpy(t->v[v].at, out.at,
                   (size_t)out.rows * (size_t)out.columns * sizeof(double));
    }
    free(raw[0].at);
    free(raw[1].at);
    return status;
}

static fb_status try_ridges(fitting *f, trial *t, const fb_ridge ridge[2], double *rank)
{
    fb_canonical s;
    fb_status status = fb_canonical_solve_about(f->ctx, &s, &f->sums, t->z[0].columns,
                                                ridge, fb_view_names);
    if (status == FB_OK) {
        for (int v = 0; v < 2; v++)
            project(t->z[v], t->v[v], &s, v, f->config->power);
        fb_dense_multiply(t->similarity, false, 1, FB_DENSE_NT, t->z[0], t->z[1]);
        *rank = reciprocal_rank(t->similarity);
    }
    fb_canonical_clear(&s);
    return status;
}

/* Of images at the middle one of texts, then of texts. */
static fb_status choose_ridges(fitting *f, trial *t, fb_ridge ridge[2])
{
    double best = -1;
    for (int v = 0; v < 2; v++) {
        double chosen = ridge[v].relative;
        for (size_t i = 0; i < sizeof ridges / sizeof ridges[0]; i++) {
            double rank;
            bool known = best >= 0 && !(ridges[i] > chosen) && !(ridges[i] < chosen);
            if (f->config->ridge[v] > 0 || known)
                continue;
            ridge[v].relative = ridges[i];
            FB_TRY(try_ridges(f, t, ridge, &rank));
            if (rank > best) {
                best = rank;
                chosen = ridges[i];
            }
        }
        ridge[v].relative = chosen;
    }
    return FB_OK;
}

static fb_status choose(fitting *f, int32_t k, fb_ridge ridge[2])
{
    trial t = {0};
    fb_status status = open_trial(f, &t, k);
    if (status == FB_OK)
        status = choose_ridges(f, &t, ridge);
    for (int v = 0; v < 2; v++) {
        free(t.v[v].at);
        free(t.z[v].at);
    }
    free(t.similarity.at);
    return status;
}

/* ---- all of it -------------------------------------------------------------------- */

static fb_status prepare(fitting *f)
{
    FB_TRY(choose_pieces(f));
    for (int v = 0; v < 2; v++) {
        FB_TRY(fb_matrix_create(f->ctx, &f->raw[v], BLOCK, f->w.raw[v]));
        FB_TRY(fb_matrix_create(f->ctx, &f->phi[v], BLOCK,
                                f->config->kernel[v] ? f->w.d[v] : 0));
    }
    FB_TRY(scale_kernels(f));
    return fb_covariance_create(f->ctx, &f->sums, f->w.d[0], f->w.d[1]);
}

static fb_status write_pieces(const fitting *f)
{
    int32_t vocab = f->m->matcher.config.vocab;
    double *idf = malloc((size_t)vocab * sizeof *idf);
    if (!idf)
        return fail_memory(f);
    for (int32_t i = 0; i < vocab; i++)
        idf[i] = (double)f->idf[i];
    fb_status status = fb_projection_write(f->ctx, f->m->matcher.params, f->batches->be,
                                           f->m->pieces, idf);
    free(idf);
    return status;
}

static fb_status run(fitting *f)
{
    fb_canonical s;
    fb_ridge ridge[2];
    int32_t k = f->m->matcher.config.vector;
    bool open = !(f->config->ridge[0] > 0) || !(f->config->ridge[1] > 0);
    for (int v = 0; v < 2; v++)
        ridge[v] = (fb_ridge){
            f->config->ridge[v] > 0 ? f->config->ridge[v] : small_ridge, absolute};
    FB_TRY(take_sample(f));
    FB_TRY(prepare(f));
    if (open && f->kept / 10 >= HELD_LEAST)
        f->held = f->kept / 10 < HELD_MOST ? f->kept / 10 : HELD_MOST;
    FB_TRY(add_kept(f, 0, f->kept - f->held));
    FB_TRY(add_rest(f));
    if (f->held) {
        FB_TRY(choose(f, k, ridge));
        FB_TRY(add_kept(f, f->kept - f->held, f->kept));
    }
    fb_status status =
        fb_canonical_solve(f->ctx, &s, &f->sums, k, ridge, fb_view_names);
    if (status == FB_OK)
        status = fb_projection_set(f->ctx, f->m->matcher.params, f->batches->be,
                                   &f->m->projection, &s);
    fb_canonical_clear(&s);
    FB_TRY(status);
    return write_pieces(f);
}

fb_status fb_cca_fit(fb_context *ctx, fb_matcher *matcher,
                     const fb_batch_stream *batches)
{
    fitting f = {.ctx = ctx,
                 .m = (fb_cca *)matcher,
                 .batches = batches,
                 .config = fb_cca_config_of(&matcher->config),
                 .w = fb_cca_widths_of(&matcher->config),
                 .left = batches->rows};
    fb_status status = run(&f);
    clear(&f);
    return status;
}
