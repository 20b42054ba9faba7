/* op_stacked.c - stacked cross attention (SCAN; Lee et al. 2018) of every text with every
 * image of a batch (backend.h, fb_stacked):
 *
 *     s = words rows^T           G of each context: it with itself
 *     scores [images, texts] f32 of both, summed over one form or two
 *     dwords = ds rows           drows = ds^T words        of contexts: + dG context
 *
 * words [T,D] of all texts, rows [R,D] of all images, unit rows. The attended vector
 * sum_c a_c c is never formed: its product with the query is a . s and its square length
 * a^T G a.
 *
 * Images go in blocks of at most BLOCK numbers of s. Where all of them together are few,
 * they are kept for backward, else made again there.
 */
#include "ops/ops.h"

enum { BLOCK = 1 << 24, KEPT = 1 << 26, FORMS = FB_STACKED_FORMS };

/* A stretch of images, and where its numbers lie. */
typedef struct block {
    int32_t first, images;
    int64_t row, rows;   /* of all images' rows */
    fb_tensor s;         /* [T, rows] */
    fb_stacked p[FORMS]; /* as kernels read it */
    int64_t grams[FORMS];
    float *gram[FORMS]; /* [grams] of its contexts */
} block;

typedef struct stacked_node {
    fb_node node;
    fb_var *words, *rows;
    fb_stacked_sides sides; /* of the host */
    block *blocks;
    int32_t count;
    bool kept; /* each block has an s of its own */
} stacked_node;

/* Rows [first, first + rows) of x. */
static fb_tensor stretch(const fb_tensor *x, int64_t first, int64_t rows)
{
    size_t bytes = (size_t)(first * x->dims[1]) * fb_dtype_size(x->dtype);
    return fb_tensor_2d((char *)x->data + bytes, x->dtype, rows, x->dims[1]);
}

/* ---- contexts ---------------------------------------------------------------------- */

static bool rows_ask(const stacked_node *n, int32_t form)
{
    return n->sides.form[form].rows_ask;
}

static int32_t contexts_of(const stacked_node *n, const block *b, int32_t form)
{
    return rows_ask(n, form) ? n->sides.texts : b->images;
}

/* Context k of a block: a stretch of words, or of rows. */
static fb_tensor context_of(const stacked_node *n, const block *b, int32_t form,
                            int32_t k, const fb_tensor *words, const fb_tensor *rows)
{
    const int32_t *of =
        rows_ask(n, form) ? n->sides.text_offsets : n->sides.image_offsets + b->first;
    return stretch(rows_ask(n, form) ? words : rows, of[k], of[k + 1] - of[k]);
}

/* Products of each context with itself. */
static fb_status make_gram(fb_tape *tape, const stacked_node *n, const block *b,
                           int32_t form)
{
    float *to = b->gram[form];
    for (int32_t k = 0; k < contexts_of(n, b, form); k++) {
        fb_tensor x = context_of(n, b, form, k, &n->words->value, &n->rows->value);
        fb_tensor gram = fb_tensor_2d(to, FB_F32, x.dims[0], x.dims[0]);
        FB_TRY(tape->be->k->matmul(tape->ctx, tape->be, &gram, &x, false, &x, true));
        to += fb_tensor_count(&gram);
    }
    return FB_OK;
}

/* ---- blocks ------------------------------------------------------------------------ */

static int64_t words_of(const fb_stacked_sides *sides)
{
    return sides->text_offsets[sides->texts];
}

/* Images from `first` on that one block holds, at least one. */
static int32_t fitting(const fb_stacked_sides *sides, int32_t first)
{
    int32_t last = first + 1;
    while (last < sides->images &&
           (sides->image_offsets[last + 1] - sides->image_offsets[first]) *
                   words_of(sides) <=
               BLOCK)
        last++;
    return last - first;
}

/* Every text with every image of the block, image by image. */
static fb_status list_pairs(fb_tape *tape, const fb_stacked_sides *sides,
                            const block *b, fb_stacked *p)
{
    int32_t *text, *image, *word, *row, *offsets, pairs = b->images * sides->texts;
    FB_TRY(fb_tape_ints(tape, &text, 4 * (int64_t)pairs + b->images + 1));
    image = text + pairs;
    word = image + pairs;
    row = word + pairs;
    offsets = row + pairs;
    for (int32_t i = 0; i < pairs; i++) {
        text[i] = i % sides->texts;
        image[i] = i / sides->texts;
        word[i] = sides->text_offsets[text[i]];
        row[i] = (int32_t)(sides->image_offsets[b->first + image[i]] - b->row);
    }
    for (int32_t i = 0; i <= b->images; i++)
        offsets[i] = (int32_t)(sides->image_offsets[b->first + i] - b->row);
    *p = (fb_stacked){.pairs = pairs, .texts = sides->texts, .images = b->images};
    FB_TRY(fb_tape_upload_i32(tape, &p->text, text, pairs));
    FB_TRY(fb_tape_upload_i32(tape, &p->image, image, pairs));
    FB_TRY(fb_tape_upload_i32(tape, &p->word, word, pairs));
    FB_TRY(fb_tape_upload_i32(tape, &p->row, row, pairs));
    FB_TRY(fb_tape_upload_i32(tape, &p->text_offsets, sides->text_offsets,
                              (int64_t)sides->texts + 1));
    return fb_tape_upload_i32(tape, &p->image_offsets, offsets, (int64_t)b->images + 1);
}

/* The block's lists of a form, whose pairs are listed, and room for its products. */
static fb_status place_contexts(fb_tape *tape, const stacked_node *n, block *b,
                                int32_t form, const fb_stacked *pairs)
{
    int32_t contexts = contexts_of(n, b, form), *gram;
    int64_t grams = 0;
    FB_TRY(fb_tape_ints(tape, &gram, contexts));
    for (int32_t k = 0; k < contexts; k++) {
        int64_t size =
            context_of(n, b, form, k, &n->words->value, &n->rows->value).dims[0];
        gram[k] = (int32_t)grams;
        grams += size * size;
    }
    b->p[form] = *pairs;
    b->p[form].form = n->sides.form[form];
    b->grams[form] = grams;
    FB_TRY(fb_tape_upload_i32(tape, &b->p[form].gram, gram, contexts));
    return fb_tape_floats(tape, &b->gram[form], grams);
}

/* Cut the images into blocks, and make room for what is kept of them. */
static fb_status cut(fb_tape *tape, stacked_node *n)
{
    const fb_stacked_sides *sides = &n->sides;
    int64_t words = words_of(sides), all = words * sides->image_offsets[sides->images];
    int64_t largest = 0;
    void *memory;
    float *shared = NULL;
    FB_TRY(fb_tape_alloc(tape, &memory, ((size_t)sides->images + 1) * sizeof(block)));
    n->blocks = memory;
    n->kept = tape->recording && all <= KEPT;
    for (int32_t first = 0; first < sides->images;) {
        block *b = &n->blocks[n->count++];
        fb_stacked pairs;
        *b = (block){.first = first, .images = fitting(sides, first)};
        b->row = sides->image_offsets[first];
        b->rows = sides->image_offsets[first + b->images] - b->row;
        largest = b->rows > largest ? b->rows : largest;
        FB_TRY(list_pairs(tape, sides, b, &pairs));
        for (int32_t f = 0; f < sides->forms; f++)
            FB_TRY(place_contexts(tape, n, b, f, &pairs));
        first += b->images;
    }
    if (!n->kept)
        FB_TRY(fb_tape_floats(tape, &shared, words * largest));
    for (int32_t i = 0; i < n->count; i++) {
        block *b = &n->blocks[i];
        if (n->kept)
            FB_TRY(fb_tape_floats(tape, &shared, words * b->rows));
        b->s = fb_tensor_2d(shared, FB_F32, words, b->rows);
    }
    return FB_OK;
}

/* ---- forward ----------------------------------------------------------------------- */

static fb_status multiply(fb_tape *tape, const stacked_node *n, const block *b)
{
    fb_tensor rows = stretch(&n->rows->value, b->row, b->rows);
    return tape->be->k->matmul(tape->ctx, tape->be, &b->s, &n->words->value, false,
                               &rows, true);
}

static bool ascend(const int32_t *offsets, int32_t count, int64_t rows)
{
    for (int32_t i = 0; i < count; i++)
        if (offsets[i + 1] < offsets[i])
            return false;
    return offsets[0] == 0 && offsets[count] == rows;
}

static fb_status check(fb_tape *tape, const fb_tensor *words, const fb_tensor *rows,
                       const fb_stacked_sides *sides)
{
    if (words->dims[1] != rows->dims[1])
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "stacked attention: words of %lld numbers, rows of %lld",
                       (long long)words->dims[1], (long long)rows->dims[1]);
    if (!ascend(sides->text_offsets, sides->texts, words->dims[0]) ||
        !ascend(sides->image_offsets, sides->images, rows->dims[0]))
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "stacked attention: offsets do not ascend to %lld words and "
                       "%lld rows",
                       (long long)words->dims[0], (long long)rows->dims[0]);
    for (int32_t f = 0; f < sides->forms; f++)
        if (!(sides->form[f].lambda1 <= FB_STACKED_SHARPEST))
            return fb_fail(tape->ctx, FB_E_SHAPE,
                           "stacked attention: a lambda1 of %g, at most %d",
                           (double)sides->form[f].lambda1, (int)FB_STACKED_SHARPEST);
    return FB_OK;
}

static fb_status block_forward(fb_tape *tape, const stacked_node *n, const block *b,
                               const fb_tensor *scores, const fb_tensor *more)
{
    FB_TRY(multiply(tape, n, b));
    for (int32_t f = 0; f < n->sides.forms; f++) {
        fb_tensor to = stretch(f ? more : scores, f ? 0 : b->first, b->images);
        FB_TRY(make_gram(tape, n, b, f));
        FB_TRY(tape->be->k->stacked_forward(tape->ctx, tape->be, to.data, &b->s,
                                            b->gram[f], &b->p[f]));
        fb_tensor sum = stretch(scores, b->first, b->images);
        if (f)
            FB_TRY(tape->be->k->add(tape->ctx, tape->be, &sum, &to));
    }
    return FB_OK;
}

static fb_status stacked_backward(fb_tape *tape, fb_node *node);

fb_status fb_op_stacked(fb_tape *tape, fb_var **scores, fb_var *words, fb_var *rows,
                        const fb_stacked_sides *sides)
{
    double started_s = fb_tape_clock(tape);
    fb_node *node;
    fb_tensor more = fb_tensor_2d(NULL, FB_F32, sides->images, sides->texts);
    FB_TRY(check(tape, &words->value, &rows->value, sides));
    FB_TRY(fb_tape_new_var(tape, scores, FB_F32, sides->images, sides->texts));
    if (sides->forms > 1)
        FB_TRY(fb_tape_values(tape, &more.data, fb_tensor_bytes(&more)));
    stacked_node n = {.words = words, .rows = rows, .sides = *sides};
    FB_TRY(cut(tape, &n));
    for (int32_t i = 0; i < n.count; i++)
        FB_TRY(block_forward(tape, &n, &n.blocks[i], &(*scores)->value, &more));
    FB_TRY(fb_tape_append(tape, &node, sizeof n, "stacked", "", *scores,
                          stacked_backward));
    if (node) {
        n.node = *node;
        *(stacked_node *)node = n;
    }
    fb_tape_charge(tape, "stacked", started_s);
    return FB_OK;
}

/* ---- backward ---------------------------------------------------------------------- */

/* What backward writes: gradients of both sides (data NULL: not wanted), and room. */
typedef struct gradients {
    fb_tensor words, rows;
    fb_tensor more; /* [the most rows of either side's part, D]: to be added */
    void *ds, *ds2; /* ds2: of the second form, to be added */
    void *dgram[FORMS];
    bool began; /* a block has written words already */
} gradients;

/* to = a b, or += . */
static fb_status product(fb_tape *tape, const fb_tensor *to, bool add,
                         const fb_tensor *more, const fb_tensor *a, bool sideways,
                         const fb_tensor *b)
{
    fb_tensor target = add ? stretch(more, 0, to->dims[0]) : *to;
    FB_TRY(tape->be->k->matmul(tape->ctx, tape->be, &target, a, sideways, b, false));
    return add ? tape->be->k->add(tape->ctx, tape->be, to, &target) : FB_OK;
}

/* dG context, to the side that the contexts are of. */
static fb_status contexts_backward(fb_tape *tape, const stacked_node *n, const block *b,
                                   int32_t form, const gradients *g)
{
    char *from = g->dgram[form];
    if (!(rows_ask(n, form) ? g->words.data : g->rows.data))
        return FB_OK;
    for (int32_t k = 0; k < contexts_of(n, b, form); k++) {
        fb_tensor x = context_of(n, b, form, k, &n->words->value, &n->rows->value);
        fb_tensor to = context_of(n, b, form, k, &g->words, &g->rows);
        fb_tensor own = fb_tensor_2d(from, tape->be->dtype, x.dims[0], x.dims[0]);
        FB_TRY(product(tape, &to, true, &g->more, &own, false, &x));
        from += fb_tensor_bytes(&own);
    }
    return FB_OK;
}

/* What s passes on; the sides' gradients are written, or words' added to. */
static fb_status products_backward(fb_tape *tape, const stacked_node *n, const block *b,
                                   const fb_tensor *ds, gradients *g)
{
    fb_tensor rows = stretch(&n->rows->value, b->row, b->rows);
    if (g->words.data)
        FB_TRY(product(tape, &g->words, g->began, &g->more, ds, false, &rows));
    g->began = true;
    if (!g->rows.data)
        return FB_OK;
    fb_tensor drows = stretch(&g->rows, b->row, b->rows);
    return product(tape, &drows, false, NULL, ds, true, &n->words->value);
}

static fb_status block_backward(fb_tape *tape, const stacked_node *n, const block *b,
                                const fb_tensor *dscores, gradients *g)
{
    fb_dtype dtype = tape->be->dtype;
    fb_tensor d = stretch(dscores, b->first, b->images);
    fb_tensor ds = fb_tensor_2d(g->ds, dtype, b->s.dims[0], b->rows);
    if (!n->kept)
        FB_TRY(multiply(tape, n, b));
    for (int32_t f = 0; f < n->sides.forms; f++) {
        fb_tensor own = ds, dgram = fb_tensor_1d(g->dgram[f], dtype, b->grams[f]);
        own.data = f ? g->ds2 : g->ds;
        FB_TRY(tape->be->k->stacked_backward(tape->ctx, tape->be, &own, &dgram, &d,
                                             &b->s, b->gram[f], &b->p[f]));
        if (f)
            FB_TRY(tape->be->k->add(tape->ctx, tape->be, &ds, &own));
    }
    FB_TRY(products_backward(tape, n, b, &ds, g));
    for (int32_t f = 0; f < n->sides.forms; f++)
        FB_TRY(contexts_backward(tape, n, b, f, g));
    return FB_OK;
}

static fb_status make_room(fb_tape *tape, const stacked_node *n, gradients *g)
{
    size_t size = fb_dtype_size(tape->be->dtype), ds = 0, gram[FORMS] = {0};
    int64_t most = words_of(&n->sides);
    for (int32_t i = 0; i < n->count; i++) {
        const block *b = &n->blocks[i];
        size_t own = (size_t)fb_tensor_count(&b->s);
        ds = own > ds ? own : ds;
        most = b->rows > most ? b->rows : most;
        for (int32_t f = 0; f < n->sides.forms; f++)
            gram[f] = (size_t)b->grams[f] > gram[f] ? (size_t)b->grams[f] : gram[f];
    }
    FB_TRY(fb_tape_values(tape, &g->ds, ds * size));
    if (n->sides.forms > 1)
        FB_TRY(fb_tape_values(tape, &g->ds2, ds * size));
    for (int32_t f = 0; f < n->sides.forms; f++)
        FB_TRY(fb_tape_values(tape, &g->dgram[f], gram[f] * size));
    g->more = fb_tensor_2d(NULL, tape->be->dtype, most, n->words->value.dims[1]);
    return fb_tape_values(tape, &g->more.data, fb_tensor_bytes(&g->more));
}

static fb_status stacked_backward(fb_tape *tape, fb_node *node)
{
    stacked_node *n = (stacked_node *)node;
    gradients g = {0};
    bool fresh;
    if (n->count == 0)
        return FB_OK;
    FB_TRY(make_room(tape, n, &g));
    if (n->words->needs_grad)
        FB_TRY(fb_tape_grad_begin(tape, n->words, &g.words, &fresh));
    if (n->rows->needs_grad)
        FB_TRY(fb_tape_grad_begin(tape, n->rows, &g.rows, &fresh));
    for (int32_t i = 0; i < n->count; i++)
        FB_TRY(block_backward(tape, n, &n->blocks[i], &node->out->grad, &g));
    if (n->words->needs_grad)
        FB_TRY(fb_tape_grad_done(tape, n->words, &g.words));
    return n->rows->needs_grad ? fb_tape_grad_done(tape, n->rows, &g.rows) : FB_OK;
}
