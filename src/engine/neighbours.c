/* neighbours.c - see neighbours.h. */
#include "engine/neighbours.h"

#include "base/file.h"
#include "base/random.h"
#include "engine/catalogue_vectors.h"
#include "retrieval/index/exact_search.h"
#include "retrieval/index/npy.h"
#include "retrieval/index/vector_file.h"

#include <stdlib.h>
#include <string.h>

struct fb_neighbours {
    int64_t rows;
    int32_t width;
    float *image, *text; /* [rows, width] */
};

static const char *const names[] = {"neighbours.image.npy", "neighbours.text.npy"};

static fb_status make_room(fb_context *ctx, fb_neighbours **neighbours, int64_t rows,
                           int32_t width)
{
    fb_neighbours *n = calloc(1, sizeof *n);
    size_t bytes = ((size_t)rows * (size_t)width + 1) * sizeof(float);
    if (n) {
        *n = (fb_neighbours){rows, width, malloc(bytes), malloc(bytes)};
        if (n->image && n->text) {
            *neighbours = n;
            return FB_OK;
        }
    }
    fb_neighbours_free(n);
    return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld neighbours", (long long)rows);
}

void fb_neighbours_free(fb_neighbours *neighbours)
{
    if (!neighbours)
        return;
    free(neighbours->image);
    free(neighbours->text);
    free(neighbours);
}

static int by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static fb_status fill(fb_context *ctx, fb_neighbours *n, fb_model *model,
                      const fb_catalogue *catalogue, const int32_t *items)
{
    fb_catalogue_vectors *vectors;
    fb_vector_block block;
    FB_TRY(fb_catalogue_vectors_open(ctx, &vectors, model, catalogue, items, n->rows,
                                     (fb_vector_wants){true, true, false}));
    fb_status status = fb_catalogue_vectors_next(ctx, vectors, &block);
    while (status == FB_OK && block.count > 0) {
        size_t bytes = (size_t)block.count * (size_t)n->width * sizeof(float);
        memcpy(n->image + block.first * n->width, block.image, bytes);
        memcpy(n->text + block.first * n->width, block.text, bytes);
        status = fb_catalogue_vectors_next(ctx, vectors, &block);
    }
    fb_catalogue_vectors_close(vectors);
    return status;
}

fb_status fb_neighbours_make(fb_context *ctx, fb_neighbours **neighbours,
                             fb_model *model, const fb_catalogue *catalogue,
                             uint64_t seed)
{
    int32_t *items;
    int64_t count;
    fb_neighbours *n = NULL;
    FB_TRY(fb_catalogue_choose(ctx, catalogue, "train", &items, &count));
    fb_random random = fb_random_start(seed, FB_STREAM_NEIGHBOURS, 0);
    fb_random_shuffle(&random, items, (int32_t)count);
    count = count < FB_NEIGHBOUR_ROWS ? count : FB_NEIGHBOUR_ROWS;
    qsort(items, (size_t)count, sizeof *items, by_number);
    fb_status status = make_room(ctx, &n, count, model->matcher->config.vector);
    if (status == FB_OK)
        status = fill(ctx, n, model, catalogue, items);
    free(items);
    if (status != FB_OK) {
        fb_neighbours_free(n);
        return status;
    }
    *neighbours = n;
    return FB_OK;
}

fb_status fb_neighbours_save(fb_context *ctx, const fb_neighbours *neighbours,
                             const char *folder)
{
    const float *const both[] = {neighbours->image, neighbours->text};
    const int64_t dims[] = {neighbours->rows, neighbours->width};
    for (int i = 0; i < 2; i++) {
        char path[4096], header[FB_NPY_HEADER];
        fb_replace r;
        FB_TRY(fb_path_join(ctx, path, folder, names[i]));
        FB_TRY(fb_replace_open(ctx, path, &r));
        fb_npy_header(header, "<f4", 2, dims);
        fwrite(header, 1, sizeof header, r.stream);
        fwrite(both[i], sizeof(float), (size_t)(dims[0] * dims[1]), r.stream);
        FB_TRY(fb_replace_commit(ctx, &r));
    }
    return FB_OK;
}

static fb_status read_rows(fb_context *ctx, const fb_vector_file *file,
                           const char *folder, const char *name, float *out)
{
    for (int64_t row = 0; row < file->rows; row++)
        if (fb_vector_file_row(ctx, file, row, out + row * file->width) != FB_OK)
            return fb_fail(ctx, FB_E_FORMAT, "%s/%s: vector %lld is no direction",
                           folder, name, (long long)row);
    return FB_OK;
}

static fb_status read_both(fb_context *ctx, fb_neighbours **neighbours,
                           const char *folder, int32_t width, fb_vector_file file[2])
{
    char path[4096];
    for (int i = 0; i < 2; i++) {
        FB_TRY(fb_path_join(ctx, path, folder, names[i]));
        FB_TRY(fb_vector_file_open(ctx, &file[i], path));
        if (file[i].width != width)
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: vectors of %d numbers, the model's "
                           "have %d",
                           path, (int)file[i].width, (int)width);
        if (file[i].rows != file[0].rows)
            return fb_fail(ctx, FB_E_FORMAT, "%s: %lld vectors, of images %lld", path,
                           (long long)file[i].rows, (long long)file[0].rows);
    }
    FB_TRY(make_room(ctx, neighbours, file[0].rows, width));
    FB_TRY(read_rows(ctx, &file[0], folder, names[0], (*neighbours)->image));
    return read_rows(ctx, &file[1], folder, names[1], (*neighbours)->text);
}

fb_status fb_neighbours_open(fb_context *ctx, fb_neighbours **neighbours,
                             const char *folder, int32_t width)
{
    fb_vector_file file[2] = {{.rows = 0}, {.rows = 0}};
    fb_neighbours *n = NULL;
    fb_status status = read_both(ctx, &n, folder, width, file);
    fb_vector_file_close(&file[0]);
    fb_vector_file_close(&file[1]);
    if (status != FB_OK) {
        fb_neighbours_free(n);
        return status;
    }
    *neighbours = n;
    return FB_OK;
}

fb_status fb_neighbours_of(fb_context *ctx, const fb_neighbours *neighbours,
                           const fb_backend *be, bool texts, const float *vectors,
                           int64_t count, float *nearness)
{
    const fb_neighbours *n = neighbours;
    int32_t k = n->rows < FB_NEIGHBOURS ? (int32_t)n->rows : FB_NEIGHBOURS;
    fb_scored *found = malloc(((size_t)count * (size_t)k + 1) * sizeof *found);
    if (!found)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for neighbours");
    const fb_stored others = {.storage = FB_STORED_F32,
                              .count = n->rows,
                              .width = n->width,
                              .f32 = texts ? n->image : n->text};
    const fb_vectors asking = {vectors, count, n->width};
    fb_status status = fb_exact_search_many(ctx, be, &others, &asking, k, found);
    for (int64_t i = 0; i < count && status == FB_OK; i++) {
        double sum = 0;
        for (int32_t j = 0; j < k; j++)
            sum += (double)found[i * k + j].score;
        nearness[i] = k ? (float)(sum / k) : 0;
    }
    free(found);
    return status;
}
