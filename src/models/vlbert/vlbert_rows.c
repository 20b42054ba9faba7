/* vlbert_rows.c - see vlbert_rows.h. */
#include "models/vlbert/vlbert_rows.h"

#include "models/image_rows.h"

typedef struct packing {
    const fb_batch *batch;
    const uint8_t *hidden;
    int32_t *place; /* [R] among its image's objects that are shown; -1: left out */
    int32_t *shown; /* [images] how many are */
} packing;

static int32_t text_length(const fb_batch *b, int32_t text)
{
    return b->text_offsets[text + 1] - b->text_offsets[text];
}

static void find_places(packing *k)
{
    const fb_batch *b = k->batch;
    for (int32_t i = 0; i < b->images; i++) {
        k->shown[i] = 0;
        for (int32_t r = b->image_offsets[i]; r < b->image_offsets[i + 1]; r++) {
            bool out = b->patch_left_out && b->patch_left_out[r];
            k->place[r] = out ? -1 : k->shown[i]++;
        }
    }
}

/* [CLS] words [SEP], the whole image, objects, [END] */
static int32_t sequence_length(const packing *k, int32_t pair)
{
    return text_length(k->batch, k->batch->pair_text[pair]) + 1 +
           k->shown[k->batch->pair_image[pair]] + 1;
}

static void pack_pair(const packing *k, fb_vlbert_rows *rows, int32_t pair)
{
    const fb_batch *b = k->batch;
    int32_t text = b->pair_text[pair], image = b->pair_image[pair];
    int32_t at = rows->offsets[pair], tokens = fb_batch_text_tokens(b);
    int32_t objects = fb_image_rows_count(b), all = objects + b->images;
    int32_t first = tokens + pair * FB_VLBERT_WORDS; /* row of the pair's [IMG] */
    for (int32_t t = b->text_offsets[text]; t < b->text_offsets[text + 1]; t++) {
        rows->word[at] = t;
        rows->visual[at++] = all + image;
    }
    rows->word[at] = first + FB_VLBERT_IMG;
    rows->visual[at++] = objects + image;
    for (int32_t r = b->image_offsets[image]; r < b->image_offsets[image + 1]; r++) {
        bool masked = k->hidden && k->hidden[r];
        if (k->place[r] < 0)
            continue;
        rows->word[at] = first + (masked ? FB_VLBERT_MASKED : FB_VLBERT_IMG);
        rows->visual[at++] = r;
    }
    rows->word[at] = first + FB_VLBERT_END;
    rows->visual[at] = all + b->images;
    for (int32_t w = 0; w < FB_VLBERT_WORDS; w++) {
        int32_t other = pair * FB_VLBERT_WORDS + w;
        rows->other[other] = w;
        rows->other_positions[other] = text_length(b, text) + (w == FB_VLBERT_END);
    }
}

/* ---- rows to guess --------------------------------------------------------------- */

/* home[pairs of guess]: where each is a pair of the batch; -1: nowhere. */
static void find_homes(const fb_batch *batch, const fb_batch *guess, int32_t *home)
{
    for (int32_t p = 0; p < guess->pairs; p++)
        home[p] = batch == guess ? p : -1;
    for (int32_t p = 0; batch != guess && p < batch->pairs; p++)
        if (batch->pair_label[p]) /* of items, pair i is text i and image i */
            home[batch->pair_text[p]] = p;
}

static void place_guesses(const packing *k, const fb_batch *guess, const int32_t *home,
                          fb_vlbert_rows *rows)
{
    for (int32_t i = 0; i < guess->mlm_count; i++) {
        int32_t row = guess->mlm_rows[i], from = fb_batch_pair_of(guess, row),
                to = home[from];
        if (to < 0)
            continue;
        rows->mlm_rows[rows->mlm_count] =
            rows->offsets[to] + row - guess->seq_offsets[from];
        rows->mlm_targets[rows->mlm_count++] = guess->mlm_targets[i];
    }
    for (int32_t i = 0; i < guess->mpm_count; i++) {
        int32_t object = guess->mpm_patches[i];
        int32_t to = home[fb_batch_pair_of(guess, guess->mpm_rows[i])];
        if (to < 0 || k->place[object] < 0)
            continue;
        rows->mvrc_rows[rows->mvrc_count] =
            rows->offsets[to] + text_length(k->batch, k->batch->pair_text[to]) + 1 +
            k->place[object];
        rows->mvrc_objects[rows->mvrc_count++] = object;
    }
}

/* ---- all of it ------------------------------------------------------------------- */

static fb_status make_room(fb_tape *tape, fb_vlbert_rows *rows, const fb_batch *guess)
{
    FB_TRY(fb_tape_ints(tape, &rows->word, rows->count));
    FB_TRY(fb_tape_ints(tape, &rows->visual, rows->count));
    rows->other_count = rows->pairs * FB_VLBERT_WORDS;
    FB_TRY(fb_tape_ints(tape, &rows->other, rows->other_count));
    FB_TRY(fb_tape_ints(tape, &rows->other_positions, rows->other_count));
    FB_TRY(fb_tape_ints(tape, &rows->mlm_rows, guess->mlm_count));
    FB_TRY(fb_tape_ints(tape, &rows->mlm_targets, guess->mlm_count));
    FB_TRY(fb_tape_ints(tape, &rows->mvrc_rows, guess->mpm_count));
    return fb_tape_ints(tape, &rows->mvrc_objects, guess->mpm_count);
}

fb_status fb_vlbert_rows_pack(fb_tape *tape, fb_vlbert_rows *rows,
                              const fb_batch *batch, const fb_batch *guess,
                              const uint8_t *hidden)
{
    packing k = {.batch = batch, .hidden = hidden};
    int32_t *home;
    *rows = (fb_vlbert_rows){.pairs = batch->pairs};
    FB_TRY(fb_tape_ints(tape, &k.place, fb_image_rows_count(batch)));
    FB_TRY(fb_tape_ints(tape, &k.shown, batch->images));
    FB_TRY(fb_tape_ints(tape, &home, guess->pairs));
    FB_TRY(fb_tape_ints(tape, &rows->offsets, (int64_t)batch->pairs + 1));
    find_places(&k);
    for (int32_t p = 0; p < batch->pairs; p++) {
        rows->offsets[p] = rows->count;
        rows->count += sequence_length(&k, p);
    }
    rows->offsets[batch->pairs] = rows->count;
    FB_TRY(make_room(tape, rows, guess));
    for (int32_t p = 0; p < batch->pairs; p++)
        pack_pair(&k, rows, p);
    find_homes(batch, guess, home);
    place_guesses(&k, guess, home, rows);
    return FB_OK;
}
