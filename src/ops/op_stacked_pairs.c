/* op_stacked_pairs.c - scores of listed pairs by stacked cross attention, from words and
 * rows of the host; forward alone.
 *
 * Images in turn: words of the texts that are listed with one, side by side, times its
 * rows. Images that follow each other with the same texts go together. The words are
 * filled up with zeros to a multiple of ROWS, so that products have few shapes.
 */
#include "ops/ops.h"

#include <string.h>

enum { ROWS = 64, BLOCK = 1 << 22, FORMS = FB_STACKED_FORMS };

/* Images [image, image + images), each with the same `texts` texts, whose pairs follow
 * each other from `first` on. */
typedef struct run {
    int32_t image, images, texts;
    int64_t first, words, rows; /* words: of its texts */
    const int32_t *text;        /* [texts] */
} run;

static int64_t length_of(const int32_t *offsets, int32_t k)
{
    return offsets[k + 1] - offsets[k];
}

/* Pairs of the image that pair `first` is of. */
static int32_t texts_at(const fb_stacked_pairs *p, int64_t first)
{
    int64_t last = first;
    while (last < p->count && p->image[last] == p->image[first])
        last++;
    return (int32_t)(last - first);
}

static run next_run(const fb_stacked_pairs *p, int64_t first)
{
    run r = {p->image[first], 1, texts_at(p, first), first, 0, 0, p->text + first};
    for (int32_t t = 0; t < r.texts; t++)
        r.words += length_of(p->text_offsets, r.text[t]);
    r.rows = length_of(p->image_offsets, r.image);
    for (int64_t next = first + r.texts; next < p->count; next += r.texts) {
        int64_t more = length_of(p->image_offsets, r.image + r.images);
        if (p->image[next] != r.image + r.images || texts_at(p, next) != r.texts ||
            memcmp(p->text + next, r.text, (size_t)r.texts * sizeof *r.text) != 0 ||
            (r.rows + more) * r.words > BLOCK)
            break;
        r.images++;
        r.rows += more;
    }
    return r;
}

/* Numbers of the host as a tensor of the backend, in its dtype. */
static fb_status place(fb_tape *tape, fb_tensor *on, const fb_tensor *numbers)
{
    fb_tensor host = *numbers;
    if (tape->be->dtype == FB_BF16) {
        const float *from = host.data;
        void *to;
        FB_TRY(fb_tape_alloc(tape, &to, fb_tensor_bytes(&host) / 2));
        for (int64_t i = 0; i < fb_tensor_count(&host); i++)
            ((fb_bf16 *)to)[i] = fb_bf16_from_f32(from[i]);
        host.data = to;
        host.dtype = FB_BF16;
    }
    return fb_tape_upload(tape, on, &host);
}

/* Words of the run's texts, and offsets[texts + 1] of them there. */
static fb_status place_words(fb_tape *tape, const fb_stacked_pairs *p, const run *r,
                             fb_tensor *on, int32_t *offsets)
{
    int64_t width = p->width, lines = (r->words + ROWS - 1) / ROWS * ROWS, line = 0;
    fb_tensor host = fb_tensor_2d(NULL, FB_F32, lines, width);
    FB_TRY(fb_tape_alloc(tape, &host.data, fb_tensor_bytes(&host)));
    float *to = host.data;
    for (int32_t t = 0; t < r->texts; t++) {
        int64_t n = length_of(p->text_offsets, r->text[t]);
        offsets[t] = (int32_t)line;
        memcpy(to + line * width, p->words + p->text_offsets[r->text[t]] * width,
               (size_t)(n * width) * sizeof *to);
        line += n;
    }
    offsets[r->texts] = (int32_t)line;
    memset(to + line * width, 0, (size_t)((lines - line) * width) * sizeof *to);
    return place(tape, on, &host);
}

static fb_status place_rows(fb_tape *tape, const fb_stacked_pairs *p, const run *r,
                            fb_tensor *on, int32_t *offsets)
{
    int32_t first = p->image_offsets[r->image];
    fb_tensor host = fb_tensor_2d(
        (void *)(uintptr_t)(p->rows + (int64_t)first * p->width), /* is read only */
        FB_F32, r->rows, p->width);
    for (int32_t i = 0; i <= r->images; i++)
        offsets[i] = p->image_offsets[r->image + i] - first;
    return place(tape, on, &host);
}

/* The run's pairs as kernels read them, on the backend. */
static fb_status list_pairs(fb_tape *tape, const run *r, int32_t *text_offsets,
                            int32_t *image_offsets, fb_stacked *out)
{
    int32_t pairs = r->texts * r->images, *text, *image, *word, *row;
    FB_TRY(fb_tape_ints(tape, &text, 4 * (int64_t)pairs));
    image = text + pairs;
    word = image + pairs;
    row = word + pairs;
    for (int32_t i = 0; i < pairs; i++) {
        text[i] = i % r->texts;
        image[i] = i / r->texts;
        word[i] = text_offsets[text[i]];
        row[i] = image_offsets[image[i]];
    }
    *out = (fb_stacked){.pairs = pairs, .texts = r->texts, .images = r->images};
    FB_TRY(fb_tape_upload_i32(tape, &out->text, text, pairs));
    FB_TRY(fb_tape_upload_i32(tape, &out->image, image, pairs));
    FB_TRY(fb_tape_upload_i32(tape, &out->word, word, pairs));
    FB_TRY(fb_tape_upload_i32(tape, &out->row, row, pairs));
    FB_TRY(fb_tape_upload_i32(tape, &out->text_offsets, text_offsets,
                              (int64_t)r->texts + 1));
    return fb_tape_upload_i32(tape, &out->image_offsets, image_offsets,
                              (int64_t)r->images + 1);
}

/* Products of each context with itself; gram: where they lie. */
static fb_status make_gram(fb_tape *tape, const fb_tensor *x, const int32_t *offsets,
                           int32_t count, float **products, const int32_t **gram)
{
    int32_t *places;
    int64_t sum = 0;
    size_t size = fb_dtype_size(x->dtype);
    FB_TRY(fb_tape_ints(tape, &places, count));
    for (int32_t k = 0; k < count; k++) {
        places[k] = (int32_t)sum;
        sum += length_of(offsets, k) * length_of(offsets, k);
    }
    FB_TRY(fb_tape_floats(tape, products, sum));
    for (int32_t k = 0; k < count; k++) {
        int64_t n = length_of(offsets, k), width = x->dims[1];
        fb_tensor y = fb_tensor_2d(*products + places[k], FB_F32, n, n);
        fb_tensor own = fb_tensor_2d(
            (char *)x->data + (size_t)(offsets[k] * width) * size, x->dtype, n, width);
        FB_TRY(tape->be->k->matmul(tape->ctx, tape->be, &y, &own, false, &own, true));
    }
    return fb_tape_upload_i32(tape, gram, places, count);
}

static fb_status score_run(fb_tape *tape, const fb_stacked_pairs *p, const run *r,
                           float *scores)
{
    int32_t *text_offsets, *image_offsets;
    fb_tensor words, rows, s;
    fb_stacked pairs;
    float *products, *sums;
    FB_TRY(fb_tape_ints(tape, &text_offsets, (int64_t)r->texts + r->images + 2));
    image_offsets = text_offsets + r->texts + 1;
    FB_TRY(place_words(tape, p, r, &words, text_offsets));
    FB_TRY(place_rows(tape, p, r, &rows, image_offsets));
    FB_TRY(list_pairs(tape, r, text_offsets, image_offsets, &pairs));
    s = fb_tensor_2d(NULL, FB_F32, words.dims[0], r->rows);
    FB_TRY(fb_tape_values(tape, &s.data, fb_tensor_bytes(&s)));
    FB_TRY(fb_tape_floats(tape, &sums, pairs.pairs));
    FB_TRY(tape->be->k->matmul(tape->ctx, tape->be, &s, &words, false, &rows, true));
    for (int32_t f = 0; f < p->forms; f++) {
        const float *host;
        bool ask = p->form[f].rows_ask;
        pairs.form = p->form[f];
        FB_TRY(make_gram(tape, ask ? &words : &rows, ask ? text_offsets : image_offsets,
                         ask ? r->texts : r->images, &products, &pairs.gram));
        FB_TRY(tape->be->k->stacked_forward(tape->ctx, tape->be, sums, &s, products,
                                            &pairs));
        FB_TRY(fb_tape_read_f32(tape, &host, sums, pairs.pairs));
        FB_TRY(fb_tape_fetch(tape));
        for (int32_t i = 0; i < pairs.pairs; i++)
            scores[r->first + i] = (f ? scores[r->first + i] : 0.0f) + host[i];
    }
    return FB_OK;
}

fb_status fb_stacked_score(fb_tape *tape, float *scores, const fb_stacked_pairs *p)
{
    for (int64_t first = 0; first < p->count;) {
        const run r = next_run(p, first);
        const fb_tape_mark before = fb_tape_save(tape);
        FB_TRY(score_run(tape, p, &r, scores));
        fb_tape_restore(tape, before);
        first += (int64_t)r.texts * r.images;
    }
    return FB_OK;
}
