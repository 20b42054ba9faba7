/* cca_views.c - a batch's images and texts as the vectors that CCA correlates; see
 * cca_model.h. */
#include "models/cca/cca_model.h"

#include "base/cores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 32768, SAMPLE_BYTES = 256 << 20 };

fb_cca_widths fb_cca_widths_of(const fb_model_config *config)
{
    const fb_cca_config *c = fb_cca_config_of(config);
    fb_cca_widths w;
    w.raw[0] = c->cells * c->cells * fb_model_config_features(config);
    w.raw[1] = c->text_width < config->vocab ? c->text_width : config->vocab;
    for (int v = 0; v < 2; v++)
        w.d[v] = c->kernel[v] ? c->kernel[v] : w.raw[v];
    return w;
}

int32_t fb_cca_sample(const fb_cca *m)
{
    int64_t row = fb_cca_widths_of(&m->matcher.config).raw[0] * (int64_t)sizeof(float);
    int64_t most = SAMPLE_BYTES / row;
    return most < SAMPLE ? (int32_t)most : SAMPLE;
}

/* ---- images ----------------------------------------------------------------------- */

static int32_t cell_of(const float *box, int32_t cells)
{
    int32_t at[2];
    for (int i = 0; i < 2; i++) {
        int32_t place = (int32_t)((box[i] + box[i + 2]) / 2 * (float)cells);
        at[i] = place < 0 ? 0 : place >= cells ? cells - 1 : place;
    }
    return at[1] * cells + at[0];
}

/* One image's rows [count, F] into x [cells^2, F]; a cell without rows gets the mean of
 * all. counts [cells^2] */
static void pool(double *x, int32_t *counts, int32_t cells, const double *rows,
                 const float *boxes, int32_t count, int32_t width)
{
    int32_t places = cells * cells;
    memset(counts, 0, (size_t)places * sizeof *counts);
    memset(x, 0, (size_t)places * (size_t)width * sizeof *x);
    for (int32_t r = 0; r < count; r++) {
        int32_t cell = cells == 1 ? 0 : cell_of(boxes + (ptrdiff_t)r * 4, cells);
        counts[cell]++;
        for (int32_t f = 0; f < width; f++)
            x[(ptrdiff_t)cell * width + f] += rows[(ptrdiff_t)r * width + f];
    }
    for (int32_t p = 0; p < places; p++)
        for (int32_t f = 0; counts[p] && f < width; f++)
            x[(ptrdiff_t)p * width + f] /= counts[p];
    for (int32_t p = 0; p < places; p++)
        for (int32_t f = 0; !counts[p] && count > 0 && f < width; f++) {
            double sum = 0;
            for (int32_t r = 0; r < count; r++)
                sum += rows[(ptrdiff_t)r * width + f];
            x[(ptrdiff_t)p * width + f] = sum / count;
        }
}

static void to_double(double *out, const fb_tensor *t, const void *host)
{
    int64_t count = fb_tensor_count(t);
    const float *f32 = host;
    const fb_bf16 *bf16 = host;
    for (int64_t i = 0; i < count; i++)
        out[i] = (double)(t->dtype == FB_BF16 ? fb_bf16_to_f32(bf16[i]) : f32[i]);
}

fb_status fb_cca_images(fb_cca *m, fb_tape *tape, const fb_batch *batch, fb_matrix x)
{
    int32_t cells = fb_cca_config_of(&m->matcher.config)->cells, width = m->rows.width;
    fb_var *var;
    const void *host;
    void *memory;
    FB_TRY(fb_image_rows_forward(tape, &var, &m->rows, batch));
    FB_TRY(fb_tape_read(tape, &host, &var->value));
    FB_TRY(fb_tape_fetch(tape));
    FB_TRY(fb_tape_alloc(tape, &memory,
                         (size_t)fb_tensor_count(&var->value) * sizeof(double)));
    double *rows = memory;
    FB_TRY(fb_tape_alloc(tape, &memory, (size_t)(cells * cells) * sizeof(int32_t)));
    to_double(rows, &var->value, host);
    for (int32_t i = 0; i < batch->images; i++) {
        int32_t first = batch->image_offsets[i];
        pool(x.at + (ptrdiff_t)i * x.columns, memory, cells,
             rows + (ptrdiff_t)first * width, batch->boxes + (ptrdiff_t)first * 4,
             batch->image_offsets[i + 1] - first, width);
    }
    return FB_OK;
}

/* ---- texts ------------------------------------------------------------------------ */

void fb_cca_columns(int32_t *column, const float *idf, int32_t vocab)
{
    int32_t next = 0;
    for (int32_t id = 0; id < vocab; id++)
        column[id] = idf[id] > 0 ? next++ : -1;
}

void fb_cca_texts(const int32_t *column, const float *idf, const int32_t *ids,
                  const int32_t *offsets, fb_matrix y)
{
    memset(y.at, 0, (size_t)y.rows * (size_t)y.columns * sizeof *y.at);
    for (int32_t i = 0; i < y.rows; i++) {
        double *row = y.at + (ptrdiff_t)i * y.columns, squares = 0;
        for (int32_t t = offsets[i] + 1; t < offsets[i + 1] - 1; t++)
            if (column[ids[t]] >= 0)
                row[column[ids[t]]] += (double)idf[ids[t]];
        for (int32_t j = 0; j < y.columns; j++)
            squares += row[j] * row[j];
        for (int32_t j = 0; squares > 0 && j < y.columns; j++)
            row[j] /= sqrt(squares);
    }
}

/* ---- kernels ---------------------------------------------------------------------- */

fb_status fb_cca_kernel(fb_context *ctx, fb_matrix phi, fb_matrix x,
                        const float *frequency, const float *phase)
{
    double scale = sqrt(2.0 / phi.columns);
    int64_t numbers = (int64_t)phi.columns * x.columns;
    fb_matrix w;
    FB_TRY(fb_matrix_create(ctx, &w, phi.columns, x.columns));
    for (int64_t i = 0; i < numbers; i++)
        w.at[i] = (double)frequency[i];
    fb_dense_multiply(phi, false, 1, FB_DENSE_NT, x, w);
#pragma omp parallel for schedule(static) num_threads(fb_cores_team()) if (phi.rows > 1)
    for (int32_t i = 0; i < phi.rows; i++)
        for (int32_t j = 0; j < phi.columns; j++) {
            double *at = &phi.at[(ptrdiff_t)i * phi.columns + j];
            *at = scale * cos(*at + (double)phase[j]);
        }
    free(w.at);
    return FB_OK;
}

/* ---- vectors of a trained model --------------------------------------------------- */

static fb_status vectors_of(fb_cca *m, fb_tape *tape, int view, fb_matrix raw,
                            float *out)
{
    const fb_cca_config *c = fb_cca_config_of(&m->matcher.config);
    const float *frequency, *phase;
    fb_matrix phi;
    if (!c->kernel[view])
        return fb_projection_vectors(tape, &m->projection, view, raw, c->power, out);
    FB_TRY(fb_tape_read_f32(tape, &frequency, m->frequency[view]->weight.data,
                            (int64_t)c->kernel[view] * raw.columns));
    FB_TRY(
        fb_tape_read_f32(tape, &phase, m->phase[view]->weight.data, c->kernel[view]));
    FB_TRY(fb_tape_fetch(tape));
    FB_TRY(fb_matrix_create(tape->ctx, &phi, raw.rows, c->kernel[view]));
    fb_status status = fb_cca_kernel(tape->ctx, phi, raw, frequency, phase);
    if (status == FB_OK)
        status = fb_projection_vectors(tape, &m->projection, view, phi, c->power, out);
    free(phi.at);
    return status;
}

static fb_status text_matrix(fb_cca *m, fb_tape *tape, const fb_batch *batch,
                             fb_matrix y)
{
    int32_t *column, vocab = m->matcher.config.vocab;
    const float *idf;
    FB_TRY(fb_tape_ints(tape, &column, vocab));
    FB_TRY(fb_tape_read_f32(tape, &idf, m->pieces->weight.data, vocab));
    FB_TRY(fb_tape_fetch(tape));
    fb_cca_columns(column, idf, vocab);
    fb_cca_texts(column, idf, batch->token_ids, batch->text_offsets, y);
    return FB_OK;
}

fb_status fb_cca_vectors(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                         float *texts, float *images)
{
    fb_cca *m = (fb_cca *)matcher;
    fb_cca_widths w = fb_cca_widths_of(&matcher->config);
    fb_matrix x = {0}, y = {0};
    fb_status status = FB_OK;
    if (images)
        status = fb_matrix_create(tape->ctx, &x, batch->images, w.raw[0]);
    if (images && status == FB_OK)
        status = fb_cca_images(m, tape, batch, x);
    if (images && status == FB_OK)
        status = vectors_of(m, tape, FB_VIEW_IMAGE, x, images);
    if (texts && status == FB_OK)
        status = fb_matrix_create(tape->ctx, &y, batch->texts, w.raw[1]);
    if (texts && status == FB_OK)
        status = text_matrix(m, tape, batch, y);
    if (texts && status == FB_OK)
        status = vectors_of(m, tape, FB_VIEW_TEXT, y, texts);
    free(x.at);
    free(y.at);
    return status;
}
