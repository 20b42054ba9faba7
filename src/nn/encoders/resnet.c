/* resnet.c - see resnet.h: shapes of a network and its parameters. */
#include "nn/encoders/resnet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef char fb_name[FB_PARAM_NAME];

/* ---- shapes --------------------------------------------------------------------- */

static int32_t stage_out(const fb_resnet_spec *spec, int32_t stage)
{
    return spec->stage[stage].channels * (spec->bottleneck ? 4 : 1);
}

int32_t fb_resnet_features(const fb_resnet_spec *spec)
{
    return stage_out(spec, spec->stages - 1);
}

int32_t fb_resnet_out(const fb_resnet_spec *spec, int32_t size)
{
    size = fb_window_out(size, spec->stem_kernel, spec->stem_stride,
                         spec->stem_kernel / 2);
    if (spec->stem_pool)
        size = fb_window_out(size, 3, 2, 1);
    for (int32_t s = 0; s < spec->stages; s++)
        size = (size - 1) / spec->stage[s].stride + 1;
    return size;
}

static fb_resnet_unit unit_of(int32_t in, int32_t out, int32_t kernel, int32_t stride,
                              int32_t groups)
{
    return (fb_resnet_unit){
        .in = in, .out = out, .kernel = kernel, .stride = stride, .groups = groups};
}

static fb_resnet_block block_of(const fb_resnet_spec *spec, int32_t stage, int32_t in,
                                int32_t stride)
{
    fb_resnet_block b = {0};
    int32_t channels = spec->stage[stage].channels, out = stage_out(spec, stage);
    if (spec->bottleneck) {
        int32_t inner = channels * spec->group_width / 64 * spec->groups;
        b.unit[0] = unit_of(in, inner, 1, 1, 1);
        b.unit[1] = unit_of(inner, inner, 3, stride, spec->groups);
        b.unit[2] = unit_of(inner, out, 1, 1, 1);
    } else {
        b.unit[0] = unit_of(in, out, 3, stride, 1);
        b.unit[1] = unit_of(out, out, 3, 1, 1);
    }
    if (stride != 1 || in != out)
        b.shortcut = unit_of(in, out, 1, stride, 1);
    return b;
}

/* The network without its parameters. */
static void lay_out(fb_resnet *r, const fb_resnet_spec *spec)
{
    memset(r, 0, sizeof *r);
    r->spec = *spec;
    r->stem = unit_of(3, spec->stem_channels, spec->stem_kernel, spec->stem_stride, 1);
    fb_resnet_block *b = r->block;
    int32_t in = spec->stem_channels;
    for (int32_t s = 0; s < spec->stages; s++)
        for (int32_t i = 0; i < spec->stage[s].blocks; i++) {
            *b++ = block_of(spec, s, in, i ? 1 : spec->stage[s].stride);
            in = stage_out(spec, s);
        }
}

static int32_t block_count(const fb_resnet_spec *spec)
{
    int32_t n = 0;
    for (int32_t s = 0; s < spec->stages; s++)
        n += spec->stage[s].blocks;
    return n;
}

/* Multiply-adds of a unit on a picture, whose sides become the output's. */
static double unit_work(const fb_resnet_unit *u, int32_t *height, int32_t *width)
{
    *height = fb_window_out(*height, u->kernel, u->stride, u->kernel / 2);
    *width = fb_window_out(*width, u->kernel, u->stride, u->kernel / 2);
    int64_t weights = (int64_t)u->out * (u->in / u->groups) * u->kernel * u->kernel;
    return (double)*height * *width * (double)weights;
}

double fb_resnet_flops(const fb_resnet_spec *spec, int32_t height, int32_t width)
{
    fb_resnet r;
    lay_out(&r, spec);
    double work = unit_work(&r.stem, &height, &width);
    if (spec->stem_pool) {
        height = fb_window_out(height, 3, 2, 1);
        width = fb_window_out(width, 3, 2, 1);
    }
    for (int32_t i = 0; i < block_count(spec); i++) {
        const fb_resnet_block *b = &r.block[i];
        int32_t h = height, w = width;
        if (b->shortcut.out)
            work += unit_work(&b->shortcut, &h, &w);
        for (int32_t k = 0; k < 3 && b->unit[k].out; k++)
            work += unit_work(&b->unit[k], &height, &width);
    }
    return 2 * work;
}

/* ---- parameters ----------------------------------------------------------------- */

static fb_status declare_norm(fb_params *params, fb_batch_norm_leaves *n,
                              const char *name, int32_t width, fb_init init)
{
    fb_name weight, bias, mean, variance;
    fb_param_name(weight, "%s.weight", name);
    fb_param_name(bias, "%s.bias", name);
    fb_param_name(mean, "%s.running_mean", name);
    fb_param_name(variance, "%s.running_var", name);
    const char *weight_name = weight, *bias_name = bias;
    FB_TRY(fb_params_add(params, &n->gamma, &weight_name, (fb_param_shape){1, width, 1},
                         init, 0, true));
    FB_TRY(fb_params_add(params, &n->beta, &bias_name, (fb_param_shape){1, width, 1},
                         FB_INIT_ZERO, 0, true));
    FB_TRY(fb_params_add_buffer(params, &n->running_mean, mean, width, 0));
    return fb_params_add_buffer(params, &n->running_var, variance, width, 1);
}

/* Kaiming's normal initialisation by fan-out, as torchvision has it. */
static fb_status declare_unit(fb_params *params, fb_resnet_unit *u, const char *conv,
                              const char *norm, fb_init init)
{
    fb_name name;
    fb_param_name(name, "%s.weight", conv);
    const char *weight = name;
    int64_t window = (int64_t)u->kernel * u->kernel;
    float std = (float)sqrt(2.0 / (double)(window * u->out));
    FB_TRY(fb_params_add(params, &u->weight, &weight,
                         (fb_param_shape){1, u->out, u->in / u->groups * window},
                         FB_INIT_NORMAL, std, true));
    fb_params_set_kernel(u->weight, u->kernel, u->groups);
    return declare_norm(params, &u->norm, norm, u->out, init);
}

static fb_status declare_block(fb_params *params, fb_resnet_block *b, const char *name,
                               bool zero_last)
{
    fb_name conv, norm;
    for (int k = 0; k < 3 && b->unit[k].out; k++) {
        bool last = k == 2 || !b->unit[k + 1].out;
        fb_param_name(conv, "%s.conv%d", name, k + 1);
        fb_param_name(norm, "%s.bn%d", name, k + 1);
        FB_TRY(declare_unit(params, &b->unit[k], conv, norm,
                            zero_last && last ? FB_INIT_ZERO : FB_INIT_ONE));
    }
    if (!b->shortcut.out)
        return FB_OK;
    fb_param_name(conv, "%s.downsample.0", name);
    fb_param_name(norm, "%s.downsample.1", name);
    return declare_unit(params, &b->shortcut, conv, norm, FB_INIT_ONE);
}

/* FB_OK, or a sentence about what of the spec cannot be built. */
static fb_status check_spec(fb_context *ctx, const fb_resnet_spec *s)
{
    if (s->stages < 1 || s->stages > FB_RESNET_STAGES)
        return fb_fail(ctx, FB_E_USAGE, "resnet %s: %d stages, not 1 to %d", s->name,
                       (int)s->stages, FB_RESNET_STAGES);
    if (s->stem_kernel < 1 || s->stem_kernel % 2 == 0 || s->stem_stride < 1 ||
        s->stem_channels < 1 || s->groups < 1 || s->group_width < 1)
        return fb_fail(ctx, FB_E_USAGE,
                       "resnet %s: the stem's kernel must be odd, its stride and "
                       "channels and the groups at least 1",
                       s->name);
    int32_t blocks = 0;
    for (int32_t i = 0; i < s->stages; i++) {
        if (s->stage[i].blocks < 1 || s->stage[i].blocks > FB_RESNET_BLOCKS ||
            s->stage[i].channels < 1 || s->stage[i].stride < 1)
            return fb_fail(ctx, FB_E_USAGE,
                           "resnet %s: stage %d has %d blocks of %d channels and "
                           "stride %d, each must be at least 1",
                           s->name, (int)i + 1, (int)s->stage[i].blocks,
                           (int)s->stage[i].channels, (int)s->stage[i].stride);
        if (s->bottleneck && s->stage[i].channels * s->group_width / 64 < 1)
            return fb_fail(ctx, FB_E_USAGE,
                           "resnet %s: stage %d has no channel for each of %d groups",
                           s->name, (int)i + 1, (int)s->groups);
        blocks += s->stage[i].blocks;
    }
    if (blocks > FB_RESNET_BLOCKS)
        return fb_fail(ctx, FB_E_USAGE, "resnet %s: %d blocks, at most %d", s->name,
                       (int)blocks, FB_RESNET_BLOCKS);
    return FB_OK;
}

fb_status fb_resnet_declare(fb_params *params, fb_resnet *resnet, const char *prefix,
                            const fb_resnet_spec *spec)
{
    fb_name conv, norm;
    FB_TRY(check_spec(params->ctx, spec));
    lay_out(resnet, spec);
    fb_param_name(conv, "%s.conv1", prefix);
    fb_param_name(norm, "%s.bn1", prefix);
    FB_TRY(declare_unit(params, &resnet->stem, conv, norm, FB_INIT_ONE));
    fb_resnet_block *b = resnet->block;
    for (int32_t s = 0; s < spec->stages; s++)
        for (int32_t i = 0; i < spec->stage[s].blocks; i++) {
            fb_param_name(conv, "%s.layer%d.%d", prefix, (int)s + 1, (int)i);
            FB_TRY(declare_block(params, b++, conv, spec->zero_last));
        }
    return FB_OK;
}
