/* projection.c - see projection.h. */
#include "models/cca/projection.h"

#include "backend/memory.h"
#include "models/batch_recall.h"

#include <math.h>
#include <stdlib.h>

const char *const fb_view_names[2] = {"the images' vectors", "the texts' vectors"};

static fb_status declare_one(fb_params *params, fb_leaf **leaf, const char *prefix,
                             const char *name, int64_t rows, int64_t columns)
{
    char full[FB_PARAM_NAME];
    const char *names[1] = {full};
    fb_param_name(full, "%s.%s", prefix, name);
    FB_TRY(fb_params_add(params, leaf, names, (fb_param_shape){1, rows, columns},
                         FB_INIT_ZERO, 0, false));
    fb_params_freeze(params, full);
    return FB_OK;
}

fb_status fb_projection_declare(fb_params *params, fb_projection *p, const char *prefix,
                                const int32_t d[2], int32_t k)
{
    FB_TRY(declare_one(params, &p->mean[0], prefix, "image.mean", d[0], 1));
    FB_TRY(declare_one(params, &p->weight[0], prefix, "image.weight", k, d[0]));
    FB_TRY(declare_one(params, &p->mean[1], prefix, "text.mean", d[1], 1));
    FB_TRY(declare_one(params, &p->weight[1], prefix, "text.weight", k, d[1]));
    return declare_one(params, &p->rho, prefix, "correlation", k, 1);
}

fb_status fb_projection_write(fb_context *ctx, fb_params *params, fb_backend *be,
                              fb_leaf *leaf, const double *numbers)
{
    int64_t count = leaf->weight.out * leaf->weight.in;
    float *host = fb_params_value(params, leaf);
    for (int64_t i = 0; i < count; i++) {
        host[i] = (float)numbers[i];
        if (!isfinite(host[i]))
            return fb_fail(ctx, FB_E_NUMBER, "%s: number %lld is not finite",
                           leaf->name, (long long)i);
    }
    leaf->weight.version++;
    if (be->m->host)
        return FB_OK;
    return be->m->upload(ctx, be, (void *)(uintptr_t)leaf->weight.data, host,
                         (size_t)count * sizeof *host);
}

/* The columns of a [d,k] as rows. */
static fb_status write_columns(fb_context *ctx, fb_params *params, fb_backend *be,
                               fb_leaf *leaf, fb_matrix a)
{
    fb_matrix rows;
    FB_TRY(fb_matrix_create(ctx, &rows, a.columns, a.rows));
    for (int32_t i = 0; i < a.rows; i++)
        for (int32_t j = 0; j < a.columns; j++)
            rows.at[(ptrdiff_t)j * a.rows + i] = a.at[(ptrdiff_t)i * a.columns + j];
    fb_status status = fb_projection_write(ctx, params, be, leaf, rows.at);
    free(rows.at);
    return status;
}

fb_status fb_projection_set(fb_context *ctx, fb_params *params, fb_backend *be,
                            const fb_projection *p, const fb_canonical *s)
{
    FB_TRY(fb_projection_write(ctx, params, be, p->mean[0], s->mean_x));
    FB_TRY(fb_projection_write(ctx, params, be, p->mean[1], s->mean_y));
    FB_TRY(fb_projection_write(ctx, params, be, p->rho, s->rho));
    FB_TRY(write_columns(ctx, params, be, p->weight[0], s->a));
    return write_columns(ctx, params, be, p->weight[1], s->b);
}

/* ---- vectors ---------------------------------------------------------------------- */

static void scale_rows(fb_matrix z, const float *rho, double power, float *u)
{
    int32_t k = z.columns;
    for (int32_t i = 0; i < z.rows; i++) {
        double *row = z.at + (ptrdiff_t)i * k, squares = 0;
        for (int32_t j = 0; j < k; j++) {
            row[j] *= rho[j] > 0 ? pow((double)rho[j], power) : 0;
            squares += row[j] * row[j];
        }
        double length = squares > 0 ? sqrt(squares) : 1;
        for (int32_t j = 0; j < k; j++)
            u[(ptrdiff_t)i * k + j] = (float)(row[j] / length);
    }
}

fb_status fb_projection_vectors(fb_tape *tape, const fb_projection *p, int view,
                                fb_matrix x, double power, float *u)
{
    int32_t k = (int32_t)p->rho->weight.out;
    const float *mean, *weight, *rho;
    int64_t numbers = (int64_t)k * x.columns;
    FB_TRY(fb_tape_read_f32(tape, &mean, p->mean[view]->weight.data, x.columns));
    FB_TRY(fb_tape_read_f32(tape, &weight, p->weight[view]->weight.data, numbers));
    FB_TRY(fb_tape_read_f32(tape, &rho, p->rho->weight.data, k));
    FB_TRY(fb_tape_fetch(tape));
    fb_matrix a, z = {0};
    FB_TRY(fb_matrix_create(tape->ctx, &a, k, x.columns));
    fb_status status = fb_matrix_create(tape->ctx, &z, x.rows, k);
    if (status == FB_OK) {
        for (int64_t i = 0; i < numbers; i++)
            a.at[i] = (double)weight[i];
        for (int32_t i = 0; i < x.rows; i++)
            for (int32_t j = 0; j < x.columns; j++)
                x.at[(ptrdiff_t)i * x.columns + j] -= (double)mean[j];
        fb_dense_multiply(z, false, 1, FB_DENSE_NT, x, a);
        scale_rows(z, rho, power, u);
    }
    free(a.at);
    free(z.at);
    return status;
}

/* ---- measures --------------------------------------------------------------------- */

fb_status fb_projection_measure(fb_context *ctx, const fb_batch *batch,
                                const float *texts, const float *images, int32_t k,
                                const char *loss, fb_measures *out)
{
    int32_t n = batch->texts < batch->images ? batch->texts : batch->images;
    double sum = 0;
    float *s = malloc(((size_t)n * (size_t)n + 1) * sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %d x %d cosines", (int)n,
                       (int)n);
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < n; j++) {
            double cosine = 0;
            for (int32_t c = 0; c < k; c++)
                cosine += (double)images[(ptrdiff_t)i * k + c] *
                          (double)texts[(ptrdiff_t)j * k + c];
            s[(ptrdiff_t)i * n + j] = (float)cosine;
            sum += i == j ? 1 - cosine : 0;
        }
    *out = (fb_measures){.total = n > 0 ? sum / n : 0};
    fb_measures_put_loss(out, loss, FB_MEASURE_DECIDES, out->total, 1, n);
    fb_batch_recall_put(
        out, fb_batch_recall(s, batch->image_group, batch->text_group, n), n);
    free(s);
    return FB_OK;
}
