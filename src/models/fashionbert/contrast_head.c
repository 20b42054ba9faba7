/* contrast_head.c - see contrast_head.h. */
#include "models/fashionbert/contrast_head.h"

#include "nn/transformer.h"

#include <math.h>

fb_status fb_contrast_head_declare(fb_params *params, fb_contrast_head *head,
                                   int64_t vector, int64_t width, int64_t features,
                                   float init_std)
{
    const char *log_scale = "itc.log_scale";
    FB_TRY(fb_linear_declare(params, &head->text_weight, &head->text_bias, "itc.text",
                             vector, width, init_std, false));
    FB_TRY(fb_linear_declare(params, &head->image_weight, &head->image_bias,
                             "itc.image", vector, features, init_std, false));
    return fb_params_add(params, &head->log_scale, &log_scale,
                         (fb_param_shape){1, 1, 1}, FB_INIT_VALUE,
                         (float)log(FB_CONTRAST_SCALE_START), false);
}

static fb_status project(fb_tape *tape, fb_var **vectors, fb_leaf *weight,
                         fb_leaf *bias, fb_var *x, const int32_t *offsets,
                         int32_t count)
{
    fb_var *mean, *projected;
    FB_TRY(fb_op_mean_rows(tape, &mean, x, offsets, count));
    FB_TRY(fb_op_linear(tape, &projected, mean, weight, bias, false));
    return fb_op_unit_rows(tape, vectors, projected);
}

fb_status fb_contrast_head_text(fb_tape *tape, fb_var **vectors,
                                const fb_contrast_head *head, fb_var *hidden,
                                const int32_t *offsets, int32_t count)
{
    return project(tape, vectors, head->text_weight, head->text_bias, hidden, offsets,
                   count);
}

fb_status fb_contrast_head_image(fb_tape *tape, fb_var **vectors,
                                 const fb_contrast_head *head, fb_var *features,
                                 const int32_t *offsets, int32_t images)
{
    return project(tape, vectors, head->image_weight, head->image_bias, features,
                   offsets, images);
}

static double norm_of(const float *x, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

void fb_contrast_head_align(const fb_contrast_head *head, fb_params *params,
                            fb_leaf *projector)
{
    const fb_weight *text = &head->text_weight->weight,
                    *image = &head->image_weight->weight;
    int64_t vector = text->out, width = text->in, features = image->in;
    const float *t = fb_params_value(params, head->text_weight),
                *v = fb_params_value(params, head->image_weight);
    float *out = fb_params_value(params, projector);
    double size = norm_of(out, width * features);
    for (int64_t c = 0; c < width; c++)
        for (int64_t f = 0; f < features; f++) {
            double sum = 0;
            for (int64_t d = 0; d < vector; d++)
                sum += (double)t[d * width + c] * (double)v[d * features + f];
            out[c * features + f] = (float)sum;
        }
    double made = norm_of(out, width * features);
    for (int64_t i = 0; i < width * features && made > 0; i++)
        out[i] = (float)((double)out[i] * size / made);
    projector->weight.version++;
}

double fb_contrast_head_scale(float log_scale)
{
    double scale = exp((double)log_scale);
    return scale < FB_CONTRAST_SCALE_MOST ? scale : FB_CONTRAST_SCALE_MOST;
}
