/* index_world.h - an index of made-up products in a temporary folder, and a plain list
 * of what must be in it, to search both and compare. */
#ifndef FB_TESTS_INDEX_WORLD_H
#define FB_TESTS_INDEX_WORLD_H

#include "support/catalogue_fixture.h"

#include "base/hash.h"
#include "base/random.h"
#include "retrieval/index/index_search.h"
#include "retrieval/index/index_writer.h"

#include <math.h>

enum { WIDTH = 16, MOST = 20000, COLOURS = 4 };

static const char *const colour_names[COLOURS] = {"Red", "Green", "Blue", "grey"};

typedef struct world_product {
    char id[16], image[24];
    float vector[WIDTH], image_part[WIDTH], text_part[WIDTH];
    int32_t colour; /* -1: none */
    bool alive;
    const char *pairs[2];
} world_product;

typedef struct index_world {
    fixture *f;
    char folder[4096];
    world_product *product; /* [count] in the order of the index's rows */
    int32_t count;
    fb_random random;
    fb_index_kind kind;
    fb_storage storage;
} index_world;

static inline void world_unit(fb_random *r, float *out)
{
    double squares = 0;
    for (int i = 0; i < WIDTH; i++) {
        out[i] = (float)fb_random_normal(r);
        squares += (double)out[i] * (double)out[i];
    }
    for (int i = 0; i < WIDTH; i++)
        out[i] = (float)((double)out[i] / sqrt(squares));
}

static inline index_world *world_open(fixture *f)
{
    index_world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->f = f;
    w->product = calloc(MOST, sizeof *w->product);
    assert_non_null(w->product);
    w->random = fb_random_start(11, FB_STREAM_TEST, 1);
    assert_int_equal(fb_path_join(f->ctx, w->folder, f->folder, "index"), FB_OK);
    return w;
}

static inline void world_close(index_world *w)
{
    free(w->product);
    free(w);
}

#define world_ok(w, call)                                                              \
    do {                                                                               \
        if ((call) != FB_OK)                                                           \
            fail_msg("%s: %s", #call, fb_context_message((w)->f->ctx));                \
    } while (0)

/* Products ids first, first + 1, ... ; every `repeat`-th has the id of the one before
 * (0: none). */
static inline void world_make(index_world *w, int32_t first, int32_t count,
                              int32_t repeat)
{
    for (int32_t i = 0; i < count; i++) {
        world_product *p = &w->product[w->count];
        int32_t id = repeat && i % repeat == repeat - 1 ? first + i - 1 : first + i;
        snprintf(p->id, sizeof p->id, "p%d", (int)id);
        snprintf(p->image, sizeof p->image, "images/%d.jpg", (int)w->count);
        world_unit(&w->random, p->vector);
        world_unit(&w->random, p->image_part);
        world_unit(&w->random, p->text_part);
        p->colour = (int32_t)fb_random_below(&w->random, COLOURS + 1) - 1;
        p->alive = true;
        p->pairs[0] = "colour";
        p->pairs[1] = p->colour < 0 ? "" : colour_names[p->colour];
        w->count++;
    }
}

static inline fb_product_row world_row(world_product *p)
{
    return (fb_product_row){p->id, "a title", p->image, p->pairs, p->colour >= 0};
}

/* What is kept of an image: a byte pattern. */
enum { KEPT = 2 * 3 * 2 };
static inline void world_kept(const world_product *p, uint16_t out[KEPT / 2])
{
    for (int i = 0; i < KEPT / 2; i++)
        out[i] = (uint16_t)(fb_hash_bytes((uint64_t)i, p->image, strlen(p->image)));
}

/* A vector as it reads back. */
static inline void world_round(const index_world *w, float *vector)
{
    uint16_t half[WIDTH];
    int8_t codes[WIDTH], rests[WIDTH];
    float scale = 1;
    const fb_stored one = {.storage = w->storage,
                           .count = 1,
                           .width = WIDTH,
                           .f32 = vector,
                           .bf16 = half,
                           .codes = codes,
                           .rests = rests,
                           .scales = &scale};
    float read[WIDTH];
    fb_encode_bf16(half, vector, WIDTH);
    fb_encode_int8(codes, rests, &scale, vector, WIDTH);
    fb_stored_decode(&one, 0, 1, read);
    memcpy(vector, read, sizeof read);
}

static inline void world_describe(index_world *w, fb_index_manifest *m)
{
    m->kind = w->kind;
    m->storage = w->storage;
    m->what = FB_OF_PRODUCT;
    m->width = WIDTH;
    m->fingerprint = 77;
    m->keep = FB_KEEP_FEATURES;
    m->kept_dims[0] = 2;
    m->kept_dims[1] = 3;
}

/* The world's products from `first` on as a new segment of the change. */
static inline void world_write(index_world *w, fb_index_change *c, int32_t first,
                               bool graph)
{
    int32_t count = w->count - first;
    fb_segment_writer *writer = NULL;
    fb_product_row *rows = calloc((size_t)count + 1, sizeof *rows);
    assert_non_null(rows);
    world_ok(w,
             fb_segment_writer_open(w->f->ctx, c, &writer, count, true, "/catalogue"));
    for (int32_t i = 0; i < count; i++) {
        world_product *p = &w->product[first + i];
        uint16_t kept[KEPT / 2];
        world_kept(p, kept);
        rows[i] = world_row(p);
        world_ok(w, fb_segment_writer_add(w->f->ctx, writer, 1, p->vector,
                                          p->image_part, p->text_part, kept));
        world_round(w, p->vector);
        world_round(w, p->image_part);
        world_round(w, p->text_part);
    }
    world_ok(w, fb_segment_writer_finish(w->f->ctx, writer, rows, graph));
    fb_segment_writer_close(writer);
    free(rows);
}

/* A new index of what the world holds, in segments of at most `segment` products. */
static inline void world_build(index_world *w, int32_t segment)
{
    fb_index_change c;
    int32_t all = w->count, first = 0;
    world_ok(w, fb_index_change_begin(w->f->ctx, &c, w->folder, true));
    world_describe(w, c.manifest);
    c.threads = 1;
    while (first < all) {
        w->count = first + segment < all ? first + segment : all;
        world_write(w, &c, first, true);
        first = w->count;
    }
    world_ok(w, fb_index_change_commit(w->f->ctx, &c));
    fb_index_change_end(&c);
}

static inline fb_index *world_load(index_world *w)
{
    fb_index *index = NULL;
    world_ok(w, fb_index_load(w->f->ctx, &index, w->folder, 1));
    return index;
}

static inline const float *world_part(const world_product *p, const char *by)
{
    return by[0] == 'i' ? p->image_part : by[0] == 't' ? p->text_part : p->vector;
}

/* By the plainest way: ids of the best k products for query, colours a bit set (0:
 * any), into ids [k]; returns how many. */
static inline int32_t world_search(const index_world *w, const float *query, int32_t k,
                                   uint32_t colours, const char *by, const char **ids)
{
    int32_t found = 0;
    bool *taken = calloc((size_t)w->count + 1, sizeof *taken);
    assert_non_null(taken);
    while (found < k) {
        int32_t best = -1;
        double best_score = -1e9;
        for (int32_t i = 0; i < w->count; i++) {
            const world_product *p = &w->product[i];
            bool passes =
                !colours || (p->colour >= 0 && (colours >> p->colour & 1) != 0);
            double score = 0;
            if (!p->alive || taken[i] || !passes)
                continue;
            for (int d = 0; d < WIDTH; d++)
                score += (double)query[d] * (double)world_part(p, by)[d];
            if (score > best_score) {
                best_score = score;
                best = i;
            }
        }
        if (best < 0)
            break;
        taken[best] = true;
        bool repeated = false;
        for (int32_t i = 0; i < found; i++)
            repeated = repeated || strcmp(ids[i], w->product[best].id) == 0;
        if (!repeated)
            ids[found++] = w->product[best].id;
    }
    free(taken);
    return found;
}

#endif
