/* patch_pool.c - see patch_pool.h. */
#include "models/fashionbert/patch_pool.h"

#include "models/fashionbert/fashionbert_options.h"
#include "nn/transformer.h"

/* ---- configuration ---------------------------------------------------------------- */

int32_t fb_patch_pool_count(const fb_model_config *config)
{
    if (fb_model_config_system(config) != &fb_fashionbert_system)
        return 0;
    return ((const fb_fashionbert_own *)(const void *)config->own.bytes)->pooled;
}

/* Merged patches a side; 0: there is no such square. */
static int32_t side_of(int32_t count)
{
    int32_t side = 1;
    while (side * side < count)
        side++;
    return side * side == count ? side : 0;
}

fb_status fb_patch_pool_check(fb_context *ctx, const fb_model_config *config,
                              const char *where)
{
    int32_t count = fb_patch_pool_count(config), side = side_of(count);
    if (count == 0)
        return FB_OK;
    if (config->regions)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: pooled_patches %d: regions have no neighbours to be merged "
                       "with",
                       where, (int)count);
    if (side == 0 || config->grid % side != 0 || side == config->grid ||
        config->grid / side > FB_POOL_STEP)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: pooled_patches %d are not squares of 2, 3 or 4 patches a "
                       "side, of a grid of %d by %d",
                       where, (int)count, (int)config->grid, (int)config->grid);
    return FB_OK;
}

/* ---- parameters ------------------------------------------------------------------- */

fb_status fb_patch_pool_declare(fb_params *params, fb_patch_pool *pool,
                                const fb_model_config *config)
{
    int32_t side = side_of(fb_patch_pool_count(config));
    *pool = (fb_patch_pool){.grid = config->grid};
    if (fb_patch_pool_count(config) == 0)
        return FB_OK;
    pool->side = side;
    pool->step = config->grid / side;
    FB_TRY(fb_linear_declare(params, &pool->weight, NULL, "image.pool", config->width,
                             (int64_t)pool->step * pool->step * config->width,
                             (float)config->init_std, true));
    return fb_norm_declare(params, &pool->gamma, &pool->beta, "image.pool.LayerNorm",
                           config->width, true);
}

void fb_patch_pool_begin(const fb_patch_pool *pool, const fb_params *params)
{
    int64_t cells = (int64_t)pool->step * pool->step;
    int64_t width = pool->weight->weight.out, in = pool->weight->weight.in;
    float *w = fb_params_value(params, pool->weight);
    for (int64_t i = 0; i < width; i++)
        for (int64_t k = 0; k < cells; k++)
            w[i * in + k * width + i] += 1.0f / (float)cells;
    pool->weight->weight.version++;
}

/* ---- batches ---------------------------------------------------------------------- */

/* A text stands in front of its patches, so that a word keeps its place in its
 * sequence. */
static fb_status pack_again(fb_tape *tape, const fb_batch *before, fb_batch *b)
{
    int32_t *mlm_rows;
    FB_TRY(fb_tape_ints(tape, &b->seq_offsets, b->pairs + 1));
    FB_TRY(fb_tape_ints(tape, &b->cls_rows, b->pairs));
    FB_TRY(fb_tape_ints(tape, &b->row_source, fb_batch_tokens(before)));
    fb_batch_pack(b);
    FB_TRY(fb_tape_ints(tape, &mlm_rows, b->mlm_count));
    for (int32_t i = 0; i < b->mlm_count; i++) {
        int32_t pair = fb_batch_pair_of(before, before->mlm_rows[i]);
        mlm_rows[i] =
            before->mlm_rows[i] - before->seq_offsets[pair] + b->seq_offsets[pair];
    }
    b->mlm_rows = mlm_rows;
    return FB_OK;
}

fb_status fb_patch_pool_batch(fb_tape *tape, const fb_patch_pool *pool,
                              const fb_batch *batch, const fb_batch **pooled)
{
    void *memory;
    *pooled = batch;
    if (pool->side == 0)
        return FB_OK;
    if (batch->mpm_count > 0)
        return fb_fail(tape->ctx, FB_E_STATE,
                       "masked patches cannot be predicted once patches are merged");
    FB_TRY(fb_tape_alloc(tape, &memory, sizeof(fb_batch)));
    fb_batch *b = memory;
    *b = *batch;
    b->patches = pool->side * pool->side;
    b->boxes = NULL; /* of the patches before */
    b->patch_masked = NULL;
    b->patch_left_out = NULL;
    FB_TRY(fb_tape_ints(tape, &b->image_offsets, b->images + 1));
    for (int32_t i = 0; i <= b->images; i++)
        b->image_offsets[i] = i * b->patches;
    *pooled = b;
    return b->pairs > 0 ? pack_again(tape, batch, b) : FB_OK;
}

/* ---- forward ---------------------------------------------------------------------- */

/* The rows of x, block by block. */
static fb_status list_cells(fb_tape *tape, const fb_patch_pool *p, int64_t rows,
                            int32_t **index)
{
    int32_t *at, cells = p->step * p->step, blocks = p->side * p->side;
    FB_TRY(fb_tape_ints(tape, &at, rows));
    for (int64_t i = 0; i < rows; i++) {
        int32_t k = (int32_t)(i % cells), block = (int32_t)(i / cells % blocks);
        int32_t y = block / p->side * p->step + k / p->step;
        int32_t x = block % p->side * p->step + k % p->step;
        int64_t image = i / ((int64_t)cells * blocks);
        at[i] = (int32_t)(image * p->grid * p->grid) + y * p->grid + x;
    }
    *index = at;
    return FB_OK;
}

fb_status fb_patch_pool_forward(fb_tape *tape, const fb_patch_pool *pool, fb_var **y,
                                fb_var *x, float eps)
{
    int32_t *index;
    int64_t rows = x->value.dims[0];
    fb_var *cells, *blocks, *merged;
    *y = x;
    if (pool->side == 0)
        return FB_OK;
    FB_TRY(list_cells(tape, pool, rows, &index));
    FB_TRY(fb_op_gather(tape, &cells, x, NULL, index, rows));
    FB_TRY(fb_op_join(tape, &blocks, cells, pool->step * pool->step));
    FB_TRY(fb_op_linear(tape, &merged, blocks, pool->weight, NULL, false));
    return fb_op_norm(tape, y, merged, NULL, pool->gamma, pool->beta, eps);
}

double fb_patch_pool_flops(const fb_patch_pool *pool, int64_t images, int64_t width)
{
    double rows = (double)images * pool->grid * pool->grid;
    return pool->side ? 2.0 * rows * (double)width * (double)width : 0;
}
