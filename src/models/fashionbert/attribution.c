/* attribution.c - see attribution.h.
 *
 * Two parts, n steps:
 *
 *     words    texts 0 whole, 1 .. n at a_k, n+1 masked    images 0 whole, 1 blank
 *              pairs (0,0), (k,0) k = 1 .. n, (n+1,0), (0,1)
 *     pixels   text 0 whole    images 0 .. m-1 at a_k      pairs (0,k)
 *              the points in turns of m, as many as memory allows
 *
 * Each is one packed batch, once forward and once backward; a score's seed is its
 * point's weight, 0 at the ends. With test-time augmentation the mirror images lie
 * behind the images, point by point as they, until their patches are merged.
 */
#include "models/fashionbert/attribution.h"

#include "models/fashionbert/fashionbert_model.h"

#include <math.h>
#include <string.h>

enum { PIXELS = 1 << 19, PAUSE_STEPS = 2 };

typedef struct work {
    fb_fashionbert *m;
    fb_tape *tape;
    const fb_batch *given;
    const fb_attribution_options *options;
    int32_t views;   /* 2: the mirror image too */
    int32_t tokens;  /* of the text */
    int64_t numbers; /* of an image's pixels */
    double at[FB_ATTRIBUTION_STEPS], weight[FB_ATTRIBUTION_STEPS];
    const float *inputs; /* [views, photo and blank, numbers], normalised */
    fb_attribution found;
} work;

/* One batch: texts and images at points of their paths. */
typedef struct part {
    int32_t texts, images, pairs;
    double *text_at, *image_at;      /* [texts], [images] */
    int32_t *pair_text, *pair_image; /* [pairs] */
    double *seed, *scores;           /* [pairs] */
    fb_var *words, *pixels;          /* inputs */
    fb_batch batch;
    fb_fashionbert_pass pass;
} part;

void fb_gauss_legendre(int32_t count, double *at, double *weight)
{
    const double pi = 3.14159265358979323846;
    for (int32_t i = 0; i < count; i++) {
        double x = cos(pi * (i + 0.75) / (count + 0.5)), slope = 1;
        for (int32_t round = 0; round < 60; round++) { /* Newton on P_count */
            double p = 1, before = 0;
            for (int32_t k = 1; k <= count; k++) {
                double next = ((2 * k - 1) * x * p - (k - 1) * before) / k;
                before = p;
                p = next;
            }
            slope = count * (x * p - before) / (x * x - 1);
            double change = p / slope;
            x -= change;
            if (!(fabs(change) > 1e-15))
                break;
        }
        at[i] = (1 - x) / 2;
        weight[i] = 1 / ((1 - x * x) * slope * slope);
    }
}

static void put(const fb_tensor *host, int64_t at, float value)
{
    if (host->dtype == FB_F32)
        ((float *)host->data)[at] = value;
    else
        ((fb_bf16 *)host->data)[at] = fb_bf16_from_f32(value);
}

static float get(const fb_tensor *host, int64_t at)
{
    return host->dtype == FB_F32 ? ((const float *)host->data)[at]
                                 : fb_bf16_to_f32(((const fb_bf16 *)host->data)[at]);
}

/* t becomes a tensor of the host. */
static fb_status read_back(fb_tape *tape, fb_tensor *t)
{
    const void *numbers;
    FB_TRY(fb_tape_read(tape, &numbers, t));
    t->data = (void *)(uintptr_t)numbers; /* read only */
    return fb_tape_fetch(tape);
}

/* The gradient that reached x, on the host; data NULL: none did. */
static fb_status read_gradient(fb_tape *tape, fb_tensor *host, const fb_var *x)
{
    *host = x->grad;
    return host->data ? read_back(tape, host) : FB_OK;
}

/* A tensor of the host to be put into, and the variable that it is uploaded to. */
static fb_status begin_input(fb_tape *tape, fb_var **x, fb_tensor *host, int64_t rows,
                             int64_t columns)
{
    *host = fb_tensor_2d(NULL, tape->be->dtype, rows, columns);
    FB_TRY(fb_tape_new_var(tape, x, host->dtype, 0, columns));
    return fb_tape_alloc(tape, &host->data, fb_tensor_bytes(host));
}

/* ---- inputs --------------------------------------------------------------------- */

/* The images' pixels as f32. */
static fb_status read_pixels(work *w)
{
    fb_var *x;
    void *memory;
    FB_TRY(fb_patch_encoder_input(w->tape, &x, &w->m->patch_encoder, w->given->pixels,
                                  2, w->views));
    int64_t count = fb_tensor_count(&x->value);
    fb_tensor host = x->value;
    FB_TRY(read_back(w->tape, &host));
    w->numbers = count / (2 * w->views);
    FB_TRY(fb_tape_alloc(w->tape, &memory, (size_t)count * sizeof(float)));
    float *out = memory;
    for (int64_t i = 0; i < count; i++)
        out[i] = get(&host, i);
    w->inputs = out;
    return FB_OK;
}

static fb_status mix_pixels(const work *w, part *p)
{
    int64_t images = (int64_t)w->views * p->images, at = 0;
    fb_tensor host;
    FB_TRY(begin_input(w->tape, &p->pixels, &host, images * w->numbers / 3, 3));
    for (int32_t view = 0; view < w->views; view++) {
        const float *shown = w->inputs + view * 2 * w->numbers;
        const float *blank = shown + w->numbers;
        for (int32_t k = 0; k < p->images; k++) {
            float a = (float)p->image_at[k];
            for (int64_t i = 0; i < w->numbers; i++)
                put(&host, at++, a * shown[i] + (1.0f - a) * blank[i]);
        }
    }
    return fb_tape_upload(w->tape, &p->pixels->value, &host);
}

static const float *row_of(const work *w, const fb_leaf *table, int32_t id)
{
    return fb_params_value(w->m->matcher.params, table) + id * table->weight.in;
}

static bool is_word(const work *w, int32_t i) /* and not [CLS] or [SEP] */
{
    return i > 0 && i < w->tokens - 1;
}

static fb_status mix_words(const work *w, part *p)
{
    const fb_batch *b = w->given;
    int64_t width = w->m->word->weight.in, at = 0;
    const float *mask = row_of(w, w->m->word, w->options->mask_id);
    fb_tensor host;
    FB_TRY(
        begin_input(w->tape, &p->words, &host, (int64_t)p->texts * w->tokens, width));
    for (int32_t k = 0; k < p->texts; k++)
        for (int32_t i = 0; i < w->tokens; i++) {
            const float *word = row_of(w, w->m->word, b->token_ids[i]);
            const float *position = row_of(w, w->m->position, b->token_positions[i]);
            const float *segment = row_of(w, w->m->segment, b->token_segments[i]);
            float a = is_word(w, i) ? (float)p->text_at[k] : 1.0f;
            for (int64_t c = 0; c < width; c++)
                put(&host, at++,
                    a * word[c] + (1.0f - a) * mask[c] + position[c] + segment[c]);
        }
    return fb_tape_upload(w->tape, &p->words->value, &host);
}

static fb_status make_batch(const work *w, part *p)
{
    fb_batch *b = &p->batch;
    int32_t patches = w->given->patches;
    void *unmasked;
    *b = (fb_batch){.texts = p->texts, .images = p->images, .patches = patches};
    b->pairs = p->pairs;
    b->pair_text = p->pair_text;
    b->pair_image = p->pair_image;
    FB_TRY(fb_tape_ints(w->tape, &b->text_offsets, p->texts + 1));
    FB_TRY(fb_tape_ints(w->tape, &b->image_offsets, p->images + 1));
    FB_TRY(fb_tape_ints(w->tape, &b->seq_offsets, p->pairs + 1));
    FB_TRY(fb_tape_ints(w->tape, &b->cls_rows, p->pairs));
    FB_TRY(fb_tape_ints(w->tape, &b->row_source,
                        (int64_t)p->pairs * (w->tokens + patches)));
    FB_TRY(fb_tape_alloc(w->tape, &unmasked, (size_t)p->images * (size_t)patches));
    memset(unmasked, 0, (size_t)p->images * (size_t)patches);
    b->patch_masked = unmasked;
    for (int32_t k = 0; k <= p->texts; k++)
        b->text_offsets[k] = k * w->tokens;
    for (int32_t k = 0; k <= p->images; k++)
        b->image_offsets[k] = k * patches;
    fb_batch_pack(b);
    return FB_OK;
}

/* ---- scores and their seeds ----------------------------------------------------- */

/* Seeds to be added up on the host, 0 to begin with. */
static fb_status begin_seeds(const work *w, const fb_var *x, fb_tensor *host)
{
    *host = x->value;
    host->dtype = w->tape->be->dtype;
    FB_TRY(fb_tape_alloc(w->tape, &host->data, fb_tensor_bytes(host)));
    memset(host->data, 0, fb_tensor_bytes(host));
    return FB_OK;
}

/* ... and to be x's gradient. */
static fb_status set_gradient(const work *w, fb_var *x, const fb_tensor *seeds)
{
    bool fresh;
    fb_tensor grad;
    fb_backend *be = w->tape->be;
    FB_TRY(fb_tape_grad_begin_as(w->tape, x, seeds->dtype, &grad, &fresh));
    return be->m->upload(w->tape->ctx, be, grad.data, seeds->data,
                         fb_tensor_bytes(seeds));
}

static fb_status seed_alignment(const work *w, part *p)
{
    fb_var *logits = p->pass.logits[FB_LOSS_TIA];
    const float *l;
    fb_tensor seeds;
    FB_TRY(begin_seeds(w, logits, &seeds));
    FB_TRY(fb_tape_read_f32(w->tape, &l, logits->value.data,
                            fb_tensor_count(&logits->value)));
    FB_TRY(fb_tape_fetch(w->tape));
    for (int32_t i = 0; i < p->pairs; i++) {
        double seed = w->options->alignment * p->seed[i];
        double margin = (double)l[2 * i + 1] - (double)l[2 * i];
        p->scores[i] += w->options->alignment * margin;
        put(&seeds, 2 * i, (float)-seed);
        put(&seeds, 2 * i + 1, (float)seed);
    }
    return set_gradient(w, logits, &seeds);
}

static void add_to(const fb_tensor *t, int64_t at, double value)
{
    put(t, at, (float)((double)get(t, at) + value));
}

/* cosine = u . v: du += seed v, dv += seed u */
static fb_status seed_similarity(const work *w, part *p)
{
    fb_tensor u = p->pass.text_vectors->value, v = p->pass.image_vectors->value;
    int64_t width = u.dims[1];
    fb_tensor du, dv;
    FB_TRY(begin_seeds(w, p->pass.text_vectors, &du));
    FB_TRY(begin_seeds(w, p->pass.image_vectors, &dv));
    FB_TRY(read_back(w->tape, &u));
    FB_TRY(read_back(w->tape, &v));
    for (int32_t i = 0; i < p->pairs; i++) {
        int64_t text = p->pair_text[i] * width, image = p->pair_image[i] * width;
        double seed = w->options->similarity * p->seed[i], cosine = 0;
        for (int64_t c = 0; c < width; c++) {
            double t = (double)get(&u, text + c), x = (double)get(&v, image + c);
            cosine += t * x;
            add_to(&du, text + c, seed * x);
            add_to(&dv, image + c, seed * t);
        }
        p->scores[i] += w->options->similarity * cosine;
    }
    FB_TRY(set_gradient(w, p->pass.text_vectors, &du));
    return set_gradient(w, p->pass.image_vectors, &dv);
}

static fb_status check_finite(fb_tape *tape, const double *numbers, int64_t count,
                              const char *what)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(numbers[i]))
            return fb_fail(tape->ctx, FB_E_NUMBER, "%s %lld is not finite", what,
                           (long long)i);
    return FB_OK;
}

/* ---- one part ------------------------------------------------------------------- */

static fb_status take_part(fb_tape *tape, part *p, int32_t texts, int32_t images,
                           int32_t pairs)
{
    void *memory;
    *p = (part){.texts = texts, .images = images, .pairs = pairs};
    size_t count = (size_t)texts + (size_t)images + 2 * (size_t)pairs;
    FB_TRY(fb_tape_alloc(tape, &memory, count * sizeof(double)));
    memset(memory, 0, count * sizeof(double));
    p->text_at = memory;
    p->image_at = p->text_at + texts;
    p->seed = p->image_at + images;
    p->scores = p->seed + pairs;
    FB_TRY(fb_tape_ints(tape, &p->pair_text, pairs));
    return fb_tape_ints(tape, &p->pair_image, pairs);
}

static void set_pair(part *p, int32_t pair, int32_t text, int32_t image, double seed)
{
    p->pair_text[pair] = text;
    p->pair_image[pair] = image;
    p->seed[pair] = seed;
}

/* Scores, and the gradients of what is wanted of the two inputs. */
static fb_status run(const work *w, part *p, bool words, bool pixels)
{
    fb_tape *tape = w->tape;
    const fb_attribution_options *o = w->options;
    fb_patch_encoder *encoder = &w->m->patch_encoder;
    fb_var *features;
    FB_TRY(mix_words(w, p));
    FB_TRY(mix_pixels(w, p));
    FB_TRY(make_batch(w, p));
    p->words->needs_grad = words;
    p->pixels->needs_grad = pixels;
    tape->recording = pixels; /* else the network runs without keeping anything */
    FB_TRY(fb_patch_encoder_tune(tape, &features, encoder, p->pixels,
                                 w->views * p->images));
    if (w->views > 1)
        FB_TRY(fb_patch_encoder_merge_views(tape, &features, encoder, features,
                                            p->images));
    tape->recording = true;
    FB_TRY(fb_fashionbert_forward_inputs(w->m, tape, &p->batch, p->words, features,
                                         o->alignment != 0, o->similarity != 0,
                                         &p->pass));
    if (o->alignment != 0)
        FB_TRY(seed_alignment(w, p));
    if (o->similarity != 0)
        FB_TRY(seed_similarity(w, p));
    FB_TRY(check_finite(tape, p->scores, p->pairs, "the score of pair"));
    return fb_tape_backward(tape, NULL, NULL, false);
}

/* ---- words ---------------------------------------------------------------------- */

static void gather_words(work *w, const part *p, const fb_tensor *grad)
{
    int64_t width = w->m->word->weight.in;
    const float *mask = row_of(w, w->m->word, w->options->mask_id);
    for (int32_t i = 0; i < w->tokens; i++) {
        const float *word = row_of(w, w->m->word, w->given->token_ids[i]);
        for (int32_t k = 1; k < p->texts - 1 && is_word(w, i) && grad->data; k++)
            for (int64_t c = 0; c < width; c++)
                w->found.tokens[i] +=
                    ((double)word[c] - (double)mask[c]) *
                    (double)get(grad, ((int64_t)k * w->tokens + i) * width + c);
    }
}

/* Steps of a part: all, or where others wait between parts, few. */
static int32_t steps_at_once(const work *w, int32_t most)
{
    return w->options->pause && most > PAUSE_STEPS ? PAUSE_STEPS : most;
}

static fb_status pause_part(const work *w)
{
    const fb_attribution_options *o = w->options;
    if (!o->pause || o->pause(o->pause_self))
        return FB_OK;
    return fb_fail(w->tape->ctx, FB_E_STATE, "an explanation was broken off");
}

static fb_status explain_words_turn(work *w, int32_t first, int32_t count)
{
    part p;
    FB_TRY(take_part(w->tape, &p, count + 2, 2, count + 3));
    p.text_at[0] = p.image_at[0] = 1;
    for (int32_t k = 0; k < count; k++) {
        p.text_at[k + 1] = w->at[first + k];
        set_pair(&p, k + 1, k + 1, 0, w->weight[first + k]);
    }
    set_pair(&p, 0, 0, 0, 0);
    set_pair(&p, count + 1, count + 1, 0, 0);
    set_pair(&p, count + 2, 0, 1, 0);
    FB_TRY(run(w, &p, true, false));
    fb_tensor grad;
    FB_TRY(read_gradient(w->tape, &grad, p.words));
    gather_words(w, &p, &grad);
    w->found.score = p.scores[0];
    w->found.without_text = p.scores[count + 1];
    w->found.without_image = p.scores[count + 2];
    return FB_OK;
}

static fb_status explain_words(work *w)
{
    fb_tape *tape = w->tape;
    int32_t steps = w->options->steps, most = steps_at_once(w, steps);
    for (int32_t first = 0; first < steps; first += most) {
        fb_tape_mark mark = fb_tape_save(tape);
        fb_tape_begin(tape, tape->ctx, tape->be, tape->arena, true);
        FB_TRY(
            explain_words_turn(w, first, steps - first < most ? steps - first : most));
        fb_tape_restore(tape, mark);
        FB_TRY(pause_part(w));
    }
    return check_finite(tape, w->found.tokens, w->tokens, "the weight of token");
}

/* ---- pixels --------------------------------------------------------------------- */

/* The patch in which number i of an image's pixels lies. */
static int32_t patch_of(const work *w, int64_t i)
{
    const fb_patch_encoder *e = &w->m->patch_encoder;
    int64_t side = e->image_size / e->grid;
    if (e->each)
        return (int32_t)(i / (side * side * 3));
    int64_t pixel = i / 3, y = pixel / e->image_size, x = pixel % e->image_size;
    return (int32_t)(y / side * e->grid + x / side);
}

/* The mirror image's patches are counted where they lie in the photo. */
static void gather_pixels(work *w, const part *p, const fb_tensor *grad)
{
    int32_t grid = w->m->patch_encoder.grid;
    for (int32_t view = 0; view < w->views && grad->data; view++) {
        const float *shown = w->inputs + view * 2 * w->numbers;
        for (int64_t i = 0; i < w->numbers; i++) {
            double change = (double)shown[i] - (double)shown[w->numbers + i];
            int32_t patch = patch_of(w, i), column = patch % grid;
            if (view > 0)
                patch += grid - 1 - 2 * column;
            for (int32_t k = 0; k < p->images; k++)
                w->found.patches[patch] +=
                    change * (double)get(grad, (view * p->images + k) * w->numbers + i);
        }
    }
}

static fb_status explain_turn(work *w, int32_t first, int32_t count)
{
    part p;
    FB_TRY(take_part(w->tape, &p, 1, count, count));
    p.text_at[0] = 1;
    for (int32_t k = 0; k < count; k++) {
        p.image_at[k] = w->at[first + k];
        set_pair(&p, k, 0, k, w->weight[first + k]);
    }
    FB_TRY(run(w, &p, false, true));
    fb_tensor grad;
    FB_TRY(read_gradient(w->tape, &grad, p.pixels));
    gather_pixels(w, &p, &grad);
    return FB_OK;
}

static fb_status explain_pixels(work *w)
{
    fb_tape *tape = w->tape;
    int64_t room = w->options->pixels ? w->options->pixels : PIXELS,
            fit = room * 3 / (w->views * w->numbers);
    int32_t steps = w->options->steps, most = fit < 1 ? 1 : (int32_t)fit;
    if (fit > steps || !w->m->patch_encoder.kind->learns)
        most = steps;
    most = steps_at_once(w, most);
    for (int32_t first = 0; first < steps; first += most) {
        fb_tape_mark mark = fb_tape_save(tape);
        fb_tape_begin(tape, tape->ctx, tape->be, tape->arena, true);
        FB_TRY(explain_turn(w, first, steps - first < most ? steps - first : most));
        fb_tape_restore(tape, mark);
        FB_TRY(pause_part(w));
    }
    return check_finite(tape, w->found.patches, w->given->patches,
                        "the weight of patch");
}

static fb_status check(const work *w)
{
    const fb_batch *b = w->given;
    if (w->m->matcher.config.regions)
        return fb_fail(w->tape->ctx, FB_E_STATE,
                       "this model reads regions; weights are of photos' pixels, which "
                       "it does not see");
    if (w->options->steps < 1 || w->options->steps > FB_ATTRIBUTION_STEPS)
        return fb_fail(w->tape->ctx, FB_E_USAGE,
                       "steps: %d, a whole number from 1 to %d is right",
                       (int)w->options->steps, FB_ATTRIBUTION_STEPS);
    if (b->texts != 1 || b->images != 2)
        return fb_fail(w->tape->ctx, FB_E_SHAPE,
                       "attribution: %d texts and %d images, want 1 and 2",
                       (int)b->texts, (int)b->images);
    if (w->options->similarity != 0 && !w->m->matcher.config.vector)
        return fb_fail(w->tape->ctx, FB_E_STATE,
                       "this model gives no vectors: it was trained without the "
                       "contrastive loss");
    return FB_OK;
}

fb_status fb_fashionbert_attribute(fb_matcher *matcher, fb_tape *tape,
                                   const fb_batch *batch,
                                   const fb_attribution_options *options,
                                   fb_attribution *out)
{
    void *memory;
    FB_TRY(fb_tape_alloc(tape, &memory, sizeof(work)));
    work *w = memory;
    *w = (work){.m = (fb_fashionbert *)matcher,
                .tape = tape,
                .given = batch,
                .options = options,
                .views = matcher->config.views,
                .tokens = fb_batch_text_tokens(batch)};
    FB_TRY(check(w));
    size_t count = (size_t)w->tokens + (size_t)batch->patches;
    FB_TRY(fb_tape_alloc(tape, &memory, count * sizeof(double)));
    memset(memory, 0, count * sizeof(double));
    w->found.tokens = memory;
    w->found.patches = w->found.tokens + w->tokens;
    fb_gauss_legendre(options->steps, w->at, w->weight);
    FB_TRY(read_pixels(w));
    FB_TRY(explain_words(w));
    FB_TRY(explain_pixels(w));
    *out = w->found;
    return FB_OK;
}
