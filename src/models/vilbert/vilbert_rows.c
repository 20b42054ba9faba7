/* vilbert_rows.c - see vilbert_rows.h. */
#include "models/vilbert/vilbert_rows.h"

/* ---- streams alone --------------------------------------------------------------- */

static bool left_out(const fb_batch *b, int32_t row)
{
    return b->patch_left_out && b->patch_left_out[row];
}

/* place[rows of features]: behind its image's whole, 1 and on; 0: left out. */
static fb_status pack_images(fb_tape *tape, fb_vilbert_rows *rows, const fb_batch *b,
                             int32_t *place)
{
    FB_TRY(fb_tape_ints(tape, &rows->image_offsets, (int64_t)b->images + 1));
    FB_TRY(fb_tape_ints(tape, &rows->shown, (int64_t)fb_batch_rows(b) + b->images));
    int32_t at = 0;
    for (int32_t i = 0; i < b->images; i++) {
        rows->image_offsets[i] = at;
        rows->shown[at++] = -1 - i;
        for (int32_t r = b->image_offsets[i]; r < b->image_offsets[i + 1]; r++) {
            place[r] = left_out(b, r) ? 0 : at - rows->image_offsets[i];
            if (place[r])
                rows->shown[at++] = r;
        }
    }
    rows->image_offsets[b->images] = rows->image_rows = at;
    return FB_OK;
}

/* ---- pairs ----------------------------------------------------------------------- */

/* One stream of the pairs: sequence which[b] of `alone` for each pair. */
static fb_status pack_pairs(fb_tape *tape, int32_t **offsets, int32_t **index,
                            int32_t *count, const int32_t *alone, const int32_t *which,
                            int32_t pairs)
{
    int32_t at = 0;
    FB_TRY(fb_tape_ints(tape, offsets, (int64_t)pairs + 1));
    for (int32_t b = 0; b < pairs; b++) {
        (*offsets)[b] = at;
        at += alone[which[b] + 1] - alone[which[b]];
    }
    (*offsets)[pairs] = *count = at;
    FB_TRY(fb_tape_ints(tape, index, at));
    for (int32_t b = 0, i = 0; b < pairs; b++)
        for (int32_t r = alone[which[b]]; r < alone[which[b] + 1]; r++)
            (*index)[i++] = r;
    return FB_OK;
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

static fb_status place_guesses(fb_tape *tape, fb_vilbert_rows *rows,
                               const fb_batch *guess, const int32_t *home,
                               const int32_t *place)
{
    FB_TRY(fb_tape_ints(tape, &rows->mlm_rows, guess->mlm_count));
    FB_TRY(fb_tape_ints(tape, &rows->mlm_targets, guess->mlm_count));
    FB_TRY(fb_tape_ints(tape, &rows->mrm_rows, guess->mpm_count));
    FB_TRY(fb_tape_ints(tape, &rows->mrm_regions, guess->mpm_count));
    for (int32_t i = 0; i < guess->mlm_count; i++) {
        int32_t row = guess->mlm_rows[i], from = fb_batch_pair_of(guess, row),
                to = home[from];
        if (to < 0)
            continue;
        rows->mlm_rows[rows->mlm_count] =
            rows->text_offsets[to] + row - guess->seq_offsets[from];
        rows->mlm_targets[rows->mlm_count++] = guess->mlm_targets[i];
    }
    for (int32_t i = 0; i < guess->mpm_count; i++) {
        int32_t region = guess->mpm_patches[i];
        int32_t to = home[fb_batch_pair_of(guess, guess->mpm_rows[i])];
        if (to < 0 || place[region] == 0)
            continue;
        rows->mrm_rows[rows->mrm_count] = rows->visual_offsets[to] + place[region];
        rows->mrm_regions[rows->mrm_count++] = region;
    }
    return FB_OK;
}

/* The first row of each sequence and the rows of `guesses`, which become their places
 * among those. */
static fb_status pick(fb_tape *tape, fb_picked_rows *picked, const int32_t *offsets,
                      int32_t pairs, int32_t *guesses, int32_t guess_count)
{
    int32_t *place, *rows, *ends, count = offsets[pairs], at = 0;
    FB_TRY(fb_tape_ints(tape, &place, count));
    FB_TRY(fb_tape_ints(tape, &rows, count));
    FB_TRY(fb_tape_ints(tape, &ends, (int64_t)pairs + 1));
    for (int32_t r = 0; r < count; r++)
        place[r] = -1;
    for (int32_t b = 0; b < pairs; b++)
        place[offsets[b]] = 0; /* every sequence has a first row */
    for (int32_t i = 0; i < guess_count; i++)
        place[guesses[i]] = 0;
    for (int32_t b = 0; b < pairs; b++) {
        ends[b] = at;
        for (int32_t r = offsets[b]; r < offsets[b + 1]; r++)
            if (place[r] == 0) {
                place[r] = at;
                rows[at++] = r;
            }
    }
    ends[pairs] = at;
    for (int32_t i = 0; i < guess_count; i++)
        guesses[i] = place[guesses[i]];
    *picked = (fb_picked_rows){rows, ends, at};
    return FB_OK;
}

fb_status fb_vilbert_rows_pack(fb_tape *tape, fb_vilbert_rows *rows,
                               const fb_batch *batch, const fb_batch *guess)
{
    int32_t *place, *home;
    *rows = (fb_vilbert_rows){.pairs = batch->pairs};
    FB_TRY(fb_tape_ints(tape, &place, fb_batch_rows(batch)));
    FB_TRY(fb_tape_ints(tape, &home, guess->pairs));
    FB_TRY(pack_images(tape, rows, batch, place));
    FB_TRY(pack_pairs(tape, &rows->text_offsets, &rows->text_index, &rows->text_count,
                      batch->text_offsets, batch->pair_text, batch->pairs));
    FB_TRY(pack_pairs(tape, &rows->visual_offsets, &rows->visual_index,
                      &rows->visual_count, rows->image_offsets, batch->pair_image,
                      batch->pairs));
    find_homes(batch, guess, home);
    FB_TRY(place_guesses(tape, rows, guess, home, place));
    FB_TRY(pick(tape, &rows->text_picked, rows->text_offsets, rows->pairs,
                rows->mlm_rows, rows->mlm_count));
    return pick(tape, &rows->visual_picked, rows->visual_offsets, rows->pairs,
                rows->mrm_rows, rows->mrm_count);
}
