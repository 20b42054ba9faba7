/* resnet_forward.c - see resnet.h: a residual network run forwards.
 *
 * The network is written once (stem_forward, block_forward) over units, which are
 * either convolution and norm, for gradients, or one folded convolution:
 *
 *     scale = gamma / sqrt(var + eps)    w' = scale w    bias = beta - scale mean
 *                                        its int8 scales: |scale| those of w
 *
 * Without gradients (forward_lean) some pictures at a time go through the network. Each
 * stage has one map, which its blocks read and replace:
 *
 *     arena: [stem's map][stage 1's map] .. [stage s's map][a block's own, given back]
 */
#include "nn/encoders/resnet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* torch's defaults, with which the published weights were trained */
static const float eps = 1e-5f, momentum = 0.1f;

/* Pictures go through together while the stem's output is no larger; more of them would
 * only leave the caches. */
enum { LEAN_BYTES = 8 << 20 };

/* A variable [images * height * width, C] and its geometry. */
typedef struct map {
    fb_var *var;
    int32_t images, height, width;
} map;

typedef struct pass {
    fb_tape *tape;
    fb_resnet *resnet;
    fb_encoder_mode mode;
    bool int8; /* where there are scales: nothing is recorded */
} pass;

/* ---- folding -------------------------------------------------------------------- */

/* Unit i of 0 .. 4 * FB_RESNET_BLOCKS; those with out 0 are not there. */
static fb_resnet_unit *unit_at(fb_resnet *r, int32_t i)
{
    if (i == 0)
        return &r->stem;
    fb_resnet_block *b = &r->block[(i - 1) / 4];
    return (i - 1) % 4 < 3 ? &b->unit[(i - 1) % 4] : &b->shortcut;
}

enum { UNITS = 4 * FB_RESNET_BLOCKS + 1 };

static size_t in_lines(int64_t numbers) /* of 64 bytes, in numbers */
{
    return ((size_t)numbers + 15) / 16 * 16;
}

/* Folded weights, bias and int8 scales. */
static size_t unit_numbers(const fb_resnet_unit *u)
{
    return in_lines(u->out * u->weight->weight.in) + 2 * in_lines(u->out);
}

static fb_status fold_allocate(fb_tape *tape, fb_resnet *r)
{
    size_t total = 0;
    for (int32_t i = 0; i < UNITS; i++) {
        const fb_resnet_unit *u = unit_at(r, i);
        if (u->out)
            total += unit_numbers(u);
    }
    float *memory = aligned_alloc(64, total * sizeof(float));
    void *on = memory;
    if (!memory)
        return fb_fail(tape->ctx, FB_E_MEMORY, "no memory for the folded weights of %s",
                       r->spec.name);
    fb_status status = FB_OK;
    if (!tape->be->m->host)
        status = tape->be->m->alloc(tape->ctx, tape->be, &on, total * sizeof(float));
    if (status != FB_OK) {
        free(memory);
        return status;
    }
    memset(memory, 0, total * sizeof(float));
    r->folded = memory;
    r->folded_on = on;
    r->folded_numbers = total;
    float *next = r->folded_on;
    for (int32_t i = 0; i < UNITS; i++) {
        fb_resnet_unit *u = unit_at(r, i);
        if (!u->out)
            continue;
        int64_t in = u->weight->weight.in;
        u->folded = (fb_weight){next, u->out, in, 1, NULL};
        u->bias = next + in_lines(u->out * in);
        u->int8_scale = NULL;
        next += unit_numbers(u);
        u->stamp = 0;
    }
    return FB_OK;
}

/* The numbers that a unit is folded of, on the host. */
typedef struct fold_source {
    const float *weight, *gamma, *beta, *mean, *var;
    const float *int8_scale; /* NULL: none */
} fold_source;

static fb_status read_unit(fb_tape *tape, fold_source *s, const fb_resnet_unit *u)
{
    const fb_weight *w = &u->weight->weight;
    const float *int8_scale = u->weight->int8_scale;
    s->int8_scale = NULL;
    if (int8_scale)
        FB_TRY(fb_tape_read_f32(tape, &s->int8_scale, int8_scale, w->out));
    FB_TRY(fb_tape_read_f32(tape, &s->weight, w->data, w->out * w->in));
    FB_TRY(fb_tape_read_f32(tape, &s->gamma, u->norm.gamma->weight.data, w->out));
    FB_TRY(fb_tape_read_f32(tape, &s->beta, u->norm.beta->weight.data, w->out));
    FB_TRY(fb_tape_read_f32(tape, &s->mean, u->norm.running_mean, w->out));
    FB_TRY(fb_tape_read_f32(tape, &s->var, u->norm.running_var, w->out));
    return fb_tape_fetch(tape);
}

/* The version only moves when a number did: a table that was touched for the sake of
 * others costs this pass and no repacking. `memory` is the unit's place in r->folded. */
static fb_status fold_unit(fb_tape *tape, fb_resnet_unit *u, float *memory)
{
    int64_t out = u->out, in = u->folded.in;
    float *bias = memory + in_lines(out * in), *int8_scale = bias + in_lines(out);
    fold_source s;
    FB_TRY(read_unit(tape, &s, u));
    bool changed = false;
    u->int8_scale = s.int8_scale ? u->bias + in_lines(out) : NULL;
    for (int64_t o = 0; o < out; o++) {
        float scale = s.gamma[o] / sqrtf(s.var[o] + eps);
        bias[o] = s.beta[o] - scale * s.mean[o];
        float int8 = s.int8_scale ? fabsf(scale) * s.int8_scale[o] : 0.0f;
        int8 = isfinite(int8) ? int8 : 0.0f; /* where it is not, nor is the bias */
        changed |= int8 != int8_scale[o];
        int8_scale[o] = int8;
        const float *from = s.weight + o * in;
        float *to = memory + o * in;
        for (int64_t i = 0; i < in; i++) {
            float value = from[i] * scale;
            changed |= value != to[i];
            to[i] = value;
        }
    }
    u->folded.version += changed;
    return FB_OK;
}

/* The folded weights where kernels read them. */
static fb_status fold_upload(fb_tape *tape, fb_resnet *r)
{
    if (r->folded_on == r->folded)
        return FB_OK;
    return tape->be->m->upload(tape->ctx, tape->be, r->folded_on, r->folded,
                               r->folded_numbers * sizeof(float));
}

static fb_status fold(fb_tape *tape, fb_resnet *r)
{
    if (!r->folded)
        FB_TRY(fold_allocate(tape, r));
    float *next = r->folded;
    bool any = false;
    for (int32_t i = 0; i < UNITS; i++) {
        fb_resnet_unit *u = unit_at(r, i);
        if (!u->out)
            continue;
        uint64_t stamp = u->weight->weight.version + u->norm.gamma->weight.version +
                         u->norm.beta->weight.version + r->moves;
        if (u->stamp != stamp)
            FB_TRY(fold_unit(tape, u, next));
        any |= u->stamp != stamp;
        u->stamp = stamp;
        next += unit_numbers(u);
    }
    return any ? fold_upload(tape, r) : FB_OK;
}

void fb_resnet_free(fb_resnet *resnet, fb_backend *be)
{
    for (int32_t i = 0; be && i < UNITS; i++)
        if (unit_at(resnet, i)->out)
            be->k->weight_release(be, &unit_at(resnet, i)->folded);
    if (be && resnet->folded_on != resnet->folded)
        be->m->free(be, resnet->folded_on);
    free(resnet->folded);
    resnet->folded = resnet->folded_on = NULL;
}

/* ---- the network ---------------------------------------------------------------- */

/* y = act(N(conv x) + residual); y may be x. */
static fb_status unit_forward(const pass *p, map *y, const map *x, fb_resnet_unit *u,
                              fb_var *residual, bool relu)
{
    int32_t padding = u->kernel / 2;
    fb_conv conv = {x->images, x->height, x->width, u->in,    u->out,
                    u->kernel, u->stride, padding,  u->groups};
    fb_var *out;
    u->weight->multiplied = true;
    if (p->mode == FB_ENCODER_FROZEN) {
        const fb_folded_conv folded = {&u->folded, u->bias,
                                       p->int8 ? u->int8_scale : NULL};
        FB_TRY(
            fb_op_conv_folded(p->tape, &out, x->var, &folded, residual, relu, &conv));
    } else {
        fb_var *sum;
        FB_TRY(fb_op_conv(p->tape, &sum, x->var, u->weight, &conv));
        FB_TRY(fb_op_batch_norm(
            p->tape, &out, sum, residual, &u->norm,
            (fb_batch_norm_options){eps, relu, p->mode == FB_ENCODER_TRAIN, momentum}));
    }
    *y = (map){out, x->images, fb_window_out(x->height, u->kernel, u->stride, padding),
               fb_window_out(x->width, u->kernel, u->stride, padding)};
    return FB_OK;
}

static fb_status stem_forward(const pass *p, map *y, const map *x)
{
    FB_TRY(unit_forward(p, y, x, &p->resnet->stem, NULL, true));
    if (!p->resnet->spec.stem_pool)
        return FB_OK;
    fb_max_pool pool = {y->images, y->height, y->width, 3, 2, 1};
    FB_TRY(fb_op_max_pool(p->tape, &y->var, y->var, &pool));
    y->height = fb_window_out(y->height, 3, 2, 1);
    y->width = fb_window_out(y->width, 3, 2, 1);
    return FB_OK;
}

static fb_status block_forward(const pass *p, map *y, const map *x, fb_resnet_block *b)
{
    map shortcut = *x, h = *x;
    if (b->shortcut.out)
        FB_TRY(unit_forward(p, &shortcut, x, &b->shortcut, NULL, false));
    for (int k = 0; k < 3 && b->unit[k].out; k++) {
        bool last = k == 2 || !b->unit[k + 1].out;
        FB_TRY(unit_forward(p, &h, &h, &b->unit[k], last ? shortcut.var : NULL, true));
    }
    *y = h;
    return FB_OK;
}

static fb_status forward_recorded(const pass *p, fb_var **maps, map x)
{
    const fb_resnet_spec *spec = &p->resnet->spec;
    fb_resnet_block *b = p->resnet->block;
    FB_TRY(stem_forward(p, &x, &x));
    maps[0] = x.var;
    for (int32_t s = 0; s < spec->stages; s++) {
        for (int32_t i = 0; i < spec->stage[s].blocks; i++)
            FB_TRY(block_forward(p, &x, &x, b++));
        maps[s + 1] = x.var;
    }
    return FB_OK;
}

/* ---- without gradients ---------------------------------------------------------- */

/* Geometry of the stem's output (stage -1) or of a stage's, from its input's. */
static map stage_shape(const fb_resnet_spec *spec, int32_t stage, map x)
{
    int32_t kernel = stage < 0 ? spec->stem_kernel : 1;
    int32_t stride = stage < 0 ? spec->stem_stride : spec->stage[stage].stride;
    x.height = fb_window_out(x.height, kernel, stride, kernel / 2);
    x.width = fb_window_out(x.width, kernel, stride, kernel / 2);
    if (stage < 0 && spec->stem_pool) {
        x.height = fb_window_out(x.height, 3, 2, 1);
        x.width = fb_window_out(x.width, 3, 2, 1);
    }
    return x;
}

static int64_t rows_of(const map *x)
{
    return (int64_t)x->images * x->height * x->width;
}

static int32_t width_of(const fb_resnet_spec *spec, int32_t stage)
{
    if (stage < 0)
        return spec->stem_channels;
    return spec->stage[stage].channels * (spec->bottleneck ? 4 : 1);
}

/* The stem (stage -1) or a stage of `blocks`: y's variable is new, all else given back.
 */
static fb_status stage_lean(const pass *p, map *y, const map *x, int32_t stage,
                            fb_resnet_block *blocks)
{
    fb_tape *tape = p->tape;
    const fb_resnet_spec *spec = &p->resnet->spec;
    *y = stage_shape(spec, stage, *x);
    FB_TRY(fb_tape_new_var(tape, &y->var, tape->be->dtype, rows_of(y),
                           width_of(spec, stage)));
    int32_t steps = stage < 0 ? 1 : spec->stage[stage].blocks;
    for (int32_t i = 0; i < steps; i++) {
        fb_tape_mark mark = fb_tape_save(tape);
        map out;
        if (stage < 0)
            FB_TRY(stem_forward(p, &out, x));
        else
            FB_TRY(block_forward(p, &out, i ? y : x, &blocks[i]));
        FB_TRY(tape->be->m->copy(tape->ctx, tape->be, y->var->value.data,
                                 out.var->value.data, fb_tensor_bytes(&y->var->value)));
        fb_tape_restore(tape, mark);
    }
    return FB_OK;
}

/* Some pictures, the first of them number `first`, into their place in maps[0 ..
 * stages]; NULL ones are not wanted. */
static fb_status chunk_lean(const pass *p, fb_var **maps, map x, int32_t first)
{
    const fb_resnet_spec *spec = &p->resnet->spec;
    fb_resnet_block *b = p->resnet->block;
    fb_tape *tape = p->tape;
    fb_tape_mark mark = fb_tape_save(tape);
    for (int32_t s = -1; s < spec->stages; s++) {
        map y;
        FB_TRY(stage_lean(p, &y, &x, s, b));
        if (s >= 0)
            b += spec->stage[s].blocks;
        x = y;
        if (!maps[s + 1])
            continue;
        size_t bytes = fb_tensor_bytes(&y.var->value);
        size_t picture = y.images ? bytes / (size_t)y.images : 0;
        uint8_t *place = (uint8_t *)maps[s + 1]->value.data + picture * (size_t)first;
        FB_TRY(tape->be->m->copy(tape->ctx, tape->be, place, y.var->value.data, bytes));
    }
    fb_tape_restore(tape, mark);
    return FB_OK;
}

static int32_t chunk_images(const pass *p, const map *x)
{
    const fb_resnet_spec *spec = &p->resnet->spec;
    int32_t kernel = spec->stem_kernel, stride = spec->stem_stride;
    size_t height = (size_t)fb_window_out(x->height, kernel, stride, kernel / 2);
    size_t width = (size_t)fb_window_out(x->width, kernel, stride, kernel / 2);
    size_t bytes = height * width * (size_t)spec->stem_channels *
                   fb_dtype_size(p->tape->be->dtype);
    int32_t most = bytes < LEAN_BYTES ? (int32_t)(LEAN_BYTES / bytes) : 1;
    int32_t chunks = (x->images + most - 1) / most;
    return chunks ? (x->images + chunks - 1) / chunks : 1; /* of even size */
}

/* maps[0 .. stages], all wanted or only the last. */
static fb_status forward_lean(const pass *p, fb_var **maps, map x, bool all)
{
    const fb_resnet_spec *spec = &p->resnet->spec;
    fb_tape *tape = p->tape;
    FB_TRY(fold(tape, p->resnet));
    map shape = x;
    for (int32_t s = -1; s < spec->stages; s++) {
        shape = stage_shape(spec, s, shape);
        maps[s + 1] = NULL;
        if (all || s == spec->stages - 1)
            FB_TRY(fb_tape_new_var(tape, &maps[s + 1], tape->be->dtype, rows_of(&shape),
                                   width_of(spec, s)));
    }
    int32_t most = chunk_images(p, &x);
    int64_t picture = (int64_t)x.height * x.width;
    const fb_tensor *pixels = &x.var->value;
    for (int32_t first = 0; first < x.images; first += most) {
        map part = x;
        part.images = x.images - first < most ? x.images - first : most;
        size_t offset = (size_t)(first * picture * 3) * fb_dtype_size(pixels->dtype);
        fb_var view = {.value = fb_tensor_2d((uint8_t *)pixels->data + offset,
                                             pixels->dtype, part.images * picture, 3)};
        part.var = &view;
        FB_TRY(chunk_lean(p, maps, part, first));
    }
    return FB_OK;
}

/* ---- entry ---------------------------------------------------------------------- */

/* x as rows of three numbers. */
static fb_status as_pixels(fb_tape *tape, fb_var **pixels, fb_var *x,
                           const fb_resnet *r, int64_t rows)
{
    char shape[96];
    *pixels = x;
    if (x->value.dims[0] == rows && x->value.dims[1] == 3)
        return FB_OK;
    if (fb_tensor_count(&x->value) != rows * 3 || x->needs_grad)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "resnet %s: the input is %s, its pictures have [%lld, 3]",
                       r->spec.name, fb_tensor_describe(&x->value, shape),
                       (long long)rows);
    void *memory;
    FB_TRY(fb_tape_alloc(tape, &memory, sizeof(fb_var)));
    *pixels = memory;
    **pixels = (fb_var){.value = fb_tensor_2d(x->value.data, x->value.dtype, rows, 3)};
    return FB_OK;
}

fb_status fb_resnet_forward(fb_tape *tape, fb_var **y, fb_resnet *resnet,
                            const fb_pictures *in, fb_encoder_mode mode,
                            fb_var **stage_maps)
{
    fb_var *own_maps[FB_RESNET_STAGES + 1];
    fb_var **maps = stage_maps ? stage_maps : own_maps;
    map x = {in->x, in->count, in->height, in->width};
    if (x.images < 0 || x.height < 1 || x.width < 1)
        return fb_fail(tape->ctx, FB_E_SHAPE, "resnet %s: %d pictures of %d x %d",
                       resnet->spec.name, (int)x.images, (int)x.height, (int)x.width);
    FB_TRY(as_pixels(tape, &x.var, in->x, resnet, rows_of(&x)));
    pass p = {tape, resnet, tape->recording ? mode : FB_ENCODER_FROZEN,
              !tape->recording};
    fb_status status;
    if (p.mode == FB_ENCODER_FROZEN) {
        bool recording = tape->recording;
        tape->recording = false;
        status = forward_lean(&p, maps, x, stage_maps != NULL);
        tape->recording = recording;
    } else {
        resnet->moves += p.mode == FB_ENCODER_TRAIN;
        status = forward_recorded(&p, maps, x);
    }
    *y = status == FB_OK ? maps[resnet->spec.stages] : NULL;
    return status;
}

fb_status fb_resnet_vectors(fb_tape *tape, fb_var **y, fb_resnet *resnet,
                            const fb_pictures *in, fb_encoder_mode mode)
{
    int32_t *offsets;
    FB_TRY(fb_resnet_forward(tape, y, resnet, in, mode, NULL));
    FB_TRY(fb_tape_ints(tape, &offsets, in->count));
    int64_t rows = in->count ? (*y)->value.dims[0] / in->count : 0;
    for (int32_t i = 0; i <= in->count; i++)
        offsets[i] = (int32_t)(i * rows);
    return fb_op_mean_rows(tape, y, *y, offsets, in->count);
}
