/* hard_pairs.c - see hard_pairs.h. */
#include "models/hard_pairs.h"

#include "base/random.h"

#include <math.h>
#include <string.h>

/* Room for `pairs` pairs and the rows of their sequences. */
static fb_status make_room(fb_tape *tape, fb_batch *b, int32_t pairs)
{
    FB_TRY(fb_tape_ints(tape, &b->pair_text, pairs));
    FB_TRY(fb_tape_ints(tape, &b->pair_image, pairs));
    FB_TRY(fb_tape_ints(tape, &b->pair_label, pairs));
    FB_TRY(fb_tape_ints(tape, &b->seq_offsets, pairs + 1));
    FB_TRY(fb_tape_ints(tape, &b->cls_rows, pairs));
    b->pairs = pairs;
    return FB_OK;
}

static int64_t count_rows(const fb_batch *b)
{
    int64_t rows = 0;
    for (int32_t p = 0; p < b->pairs; p++) {
        int32_t text = b->pair_text[p], image = b->pair_image[p];
        rows += b->text_offsets[text + 1] - b->text_offsets[text];
        rows += b->image_offsets[image + 1] - b->image_offsets[image];
    }
    return rows;
}

typedef struct draw {
    const fb_batch *items;
    const float *similarity; /* [images, texts] of the whole batch */
    int32_t count;           /* B, its first */
    double scale;
    int32_t wanted;
    uint64_t key;
} draw;

static bool kin(const fb_batch *b, int32_t i, int32_t j)
{
    return b->text_group[i] == b->text_group[j] ||
           b->image_group[i] == b->image_group[j];
}

/* Noise whose largest, added to logarithms of shares, falls on each by its share. */
static double gumbel(uint64_t key, int32_t j)
{
    double uniform = ((double)fb_random_hash32(key, (uint32_t)j) + 0.5) * 0x1p-32;
    return -log(-log(uniform));
}

/* The `wanted` others of item i with the largest noisy similarity, best first. side 0:
 * i is an image (a row of the matrix), side 1: a text (a column). */
static void draw_others(const draw *d, int32_t i, int32_t side, int32_t *chosen)
{
    int32_t count = d->count, stride = d->items->images, found = 0;
    double best[FB_HARD_MOST];
    uint64_t key = fb_random_mix(d->key ^ (uint64_t)(side * count + i + 1));
    for (int32_t j = 0; j < count; j++) {
        if (j == i || kin(d->items, i, j))
            continue;
        int64_t at = side ? (int64_t)j * stride + i : (int64_t)i * stride + j;
        double noisy = d->scale * (double)d->similarity[at] + gumbel(key, j);
        int32_t place = found < d->wanted ? found : d->wanted;
        while (place > 0 && noisy > best[place - 1])
            place--;
        if (place == d->wanted)
            continue;
        found += found < d->wanted;
        for (int32_t k = found - 1; k > place; k--) {
            best[k] = best[k - 1];
            chosen[k] = chosen[k - 1];
        }
        best[place] = noisy;
        chosen[place] = j;
    }
    for (int32_t k = found; k < d->wanted; k++)
        chosen[k] = found ? chosen[found - 1] : i;
}

static void put(fb_batch *b, int32_t pair, int32_t text, int32_t image)
{
    b->pair_text[pair] = text;
    b->pair_image[pair] = image;
    b->pair_label[pair] = text == image;
}

static void fill_pairs(const draw *d, fb_hard_pairs *hard)
{
    fb_batch *b = &hard->batch;
    int32_t count = d->count, wanted = d->wanted;
    int32_t chosen[FB_HARD_MOST] = {0};
    for (int32_t i = 0; i < count; i++)
        put(b, i, i, i);
    for (int32_t l = 0; l < hard->lists; l++) {
        int32_t i = l % count, side = l / count, first = count + l * wanted;
        int32_t *members = hard->members + (int64_t)l * hard->length;
        draw_others(d, i, side, chosen);
        members[0] = i;
        for (int32_t k = 0; k < wanted; k++) {
            put(b, first + k, side ? i : chosen[k], side ? chosen[k] : i);
            members[k + 1] = first + k;
        }
    }
}

/* ---- blocks ---------------------------------------------------------------------- */

/* Whether item j may stand beside the block's first `filled`. */
static bool fits(const draw *d, const int32_t *block, int32_t filled, int32_t j)
{
    for (int32_t k = 0; k < filled; k++)
        if (kin(d->items, block[k], j))
            return false;
    return true;
}

/* The block of the first unused item: those that the drawing puts first. false: too few
 * are left that fit. */
static bool fill_block(const draw *d, uint8_t *used, int32_t first, int32_t *block)
{
    int32_t stride = d->items->images;
    uint64_t key = fb_random_mix(d->key ^ (uint64_t)(first + 1));
    block[0] = first;
    used[first] = 1;
    for (int32_t filled = 1; filled <= d->wanted; filled++) {
        int32_t best = -1;
        double most = 0;
        for (int32_t j = 0; j < d->count; j++) {
            if (used[j] || !fits(d, block, filled, j))
                continue;
            double similarity =
                0.5 * ((double)d->similarity[(int64_t)first * stride + j] +
                       (double)d->similarity[(int64_t)j * stride + first]);
            double noisy = d->scale * similarity + gumbel(key, j);
            if (best < 0 || noisy > most) {
                best = j;
                most = noisy;
            }
        }
        if (best < 0)
            return false;
        block[filled] = best;
        used[best] = 1;
    }
    return true;
}

/* blocks [count] items, block behind block; returns how many items that are. */
static int32_t choose_blocks(const draw *d, uint8_t *used, int32_t *blocks)
{
    int32_t length = d->wanted + 1, found = 0;
    for (int32_t i = 0; i < d->count; i++) {
        if (used[i] || d->count - found < length)
            continue;
        if (fill_block(d, used, i, blocks + found)) {
            found += length;
            continue;
        }
        for (int32_t k = 0; k < length && blocks[found + k] >= 0; k++) {
            used[blocks[found + k]] = 0; /* they may stand in a later one */
            blocks[found + k] = -1;
        }
    }
    return found;
}

/* Own pairs by their place among the blocks' items, then each block's others. */
static void fill_all_pairs(const int32_t *blocks, int32_t count, fb_hard_pairs *hard)
{
    int32_t length = hard->length, next = count;
    for (int32_t i = 0; i < count; i++)
        put(&hard->batch, i, blocks[i], blocks[i]);
    for (int32_t l = 0; l < 2 * count; l++)
        hard->members[(int64_t)l * length] = l % count;
    for (int32_t i = 0; i < count; i++) {
        int32_t first = i - i % length;
        for (int32_t j = first; j < first + length; j++) {
            if (j == i)
                continue;
            /* text j, image i: the j-th other of image i, the i-th other of text j */
            int32_t of_image = 1 + (j - first) - (j > i);
            int32_t of_text = 1 + (i - first) - (i > j);
            put(&hard->batch, next, blocks[j], blocks[i]);
            hard->members[(int64_t)i * length + of_image] = next;
            hard->members[(int64_t)(count + j) * length + of_text] = next++;
        }
    }
}

static fb_status draw_blocks(fb_tape *tape, fb_hard_pairs *hard, const draw *wanted)
{
    draw fewer = *wanted, *d = &fewer;
    void *used;
    int32_t *blocks, count = 0, room = d->count + d->wanted + 1;
    FB_TRY(fb_tape_alloc(tape, &used, (size_t)d->count + 1));
    FB_TRY(fb_tape_ints(tape, &blocks, room));
    for (; d->wanted > 0; d->wanted /= 2) {
        memset(used, 0, (size_t)d->count + 1);
        for (int32_t i = 0; i < room; i++)
            blocks[i] = -1;
        count = choose_blocks(d, used, blocks);
        if (count > 0)
            break;
    }
    int32_t length = d->wanted + 1;
    hard->lists = 2 * count;
    hard->length = length;
    FB_TRY(make_room(tape, &hard->batch, count * length));
    FB_TRY(fb_tape_ints(tape, &hard->members, (int64_t)hard->lists * length));
    fill_all_pairs(blocks, count, hard);
    return FB_OK;
}

/* ---- both ------------------------------------------------------------------------ */

static fb_status draw_each(fb_tape *tape, fb_hard_pairs *hard, const draw *d)
{
    int32_t count = d->count, negatives = d->wanted, all = d->items->images;
    hard->lists = 2 * count;
    hard->length = negatives + 1;
    FB_TRY(make_room(tape, &hard->batch, count * (1 + 2 * negatives)));
    void *log_q;
    FB_TRY(fb_tape_alloc(tape, &log_q, (size_t)hard->batch.pairs * sizeof(float)));
    hard->log_q = log_q;
    FB_TRY(fb_tape_ints(tape, &hard->members, (int64_t)hard->lists * hard->length));
    fill_pairs(d, hard);
    for (int32_t p = 0; p < hard->batch.pairs; p++)
        hard->log_q[p] =
            (float)(d->scale * fb_pair_similarity(&hard->batch, d->similarity, all, p));
    return FB_OK;
}

fb_status fb_patches_leave_out(fb_tape *tape, fb_batch *b, double keep, uint64_t key)
{
    void *memory;
    if (!(keep < 1))
        return FB_OK;
    FB_TRY(fb_tape_alloc(tape, &memory, (size_t)b->image_offsets[b->images] + 1));
    uint8_t *out = memory;
    for (int32_t i = 0; i < b->images; i++) {
        fb_random random = {fb_random_mix(key + (uint64_t)i), 0};
        int32_t end = b->image_offsets[i + 1], rows = end - b->image_offsets[i];
        int32_t left = (int32_t)lrint(keep * rows);
        left = left < 1 ? 1 : left;
        for (int32_t p = end - rows; p < end; p++) {
            bool kept = fb_random_below(&random, (uint32_t)(end - p)) < (uint32_t)left;
            out[p] = !kept;
            left -= kept;
        }
    }
    b->patch_left_out = out;
    return FB_OK;
}

fb_status fb_hard_pairs_draw(fb_tape *tape, fb_hard_pairs *hard, const fb_batch *items,
                             const fb_tensor *similarity,
                             const fb_hard_options *options)
{
    int32_t all = items->images, negatives = options->negatives;
    int32_t count = options->items > 0 && options->items < all ? options->items : all;
    if (items->texts != all || negatives < 1 || negatives > FB_HARD_MOST ||
        similarity->dims[0] != all || similarity->dims[1] != all)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "hard pairs: %d texts, %d images, %d negatives", items->texts,
                       all, negatives);
    *hard = (fb_hard_pairs){.batch = *items};
    draw d = {items, similarity->data, count, options->scale, negatives, options->key};
    FB_TRY(options->blocks ? draw_blocks(tape, hard, &d) : draw_each(tape, hard, &d));
    FB_TRY(fb_patches_leave_out(tape, &hard->batch, options->patch_keep,
                                fb_random_mix(~options->key)));
    FB_TRY(fb_tape_ints(tape, &hard->batch.row_source, count_rows(&hard->batch)));
    fb_batch_pack(&hard->batch);
    return FB_OK;
}
