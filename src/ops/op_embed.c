/* op_embed.c - y[n] = x[n] + sum over k of table_k[ids_k[n]]; the tables' gradients are
 * sums of dy's rows, x's gradient is dy. */
#include "ops/ops.h"

typedef struct embed_node {
    fb_node node;
    fb_var *x;
    fb_leaf *tables[FB_EMBED_TABLES];
    fb_embed embed;
} embed_node;

static fb_status embed_backward(fb_tape *tape, fb_node *node)
{
    embed_node *n = (embed_node *)node;
    float *dtable[FB_EMBED_TABLES] = {NULL, NULL, NULL};
    for (int32_t k = 0; tape->parameters && k < n->embed.count; k++)
        dtable[k] = n->tables[k]->grad;
    if (tape->parameters)
        FB_TRY(tape->be->k->embed_backward(tape->ctx, tape->be, dtable,
                                           &node->out->grad, &n->embed));
    if (!n->x || !n->x->needs_grad)
        return FB_OK;
    if (n->x->grad.data)
        return tape->be->k->add(tape->ctx, tape->be, &n->x->grad, &node->out->grad);
    n->x->grad = node->out->grad; /* handed on, not copied */
    node->out->grad.data = NULL;
    return FB_OK;
}

static fb_status check(fb_tape *tape, const fb_leaf *first, const fb_leaf *table,
                       const int32_t *ids, int64_t rows)
{
    if (table->weight.in != first->weight.in)
        return fb_fail(tape->ctx, FB_E_SHAPE, "embed: %s and %s differ in width",
                       first->name, table->name);
    for (int64_t i = 0; i < rows; i++)
        if (ids[i] < 0 || ids[i] >= table->weight.out)
            return fb_fail(tape->ctx, FB_E_SHAPE,
                           "embed: row %d of %s was asked for, it has %lld",
                           (int)ids[i], table->name, (long long)table->weight.out);
    return FB_OK;
}

fb_status fb_op_embed(fb_tape *tape, fb_var **y, fb_var *x, fb_leaf *const *tables,
                      const int32_t *const *ids, int32_t table_count, int64_t rows)
{
    double started_s = fb_tape_clock(tape);
    fb_embed e = {.count = table_count};
    for (int32_t k = 0; k < table_count; k++)
        FB_TRY(check(tape, tables[0], tables[k], ids[k], rows));
    for (int32_t k = 0; k < table_count; k++) {
        e.table[k] = tables[k]->weight.data;
        FB_TRY(fb_tape_upload_i32(tape, &e.ids[k], ids[k], rows));
    }
    int64_t width = tables[0]->weight.in;
    if (x && (x->value.dims[0] != rows || x->value.dims[1] != width))
        return fb_fail(tape->ctx, FB_E_SHAPE, "embed %s: x is [%lld, %lld]",
                       tables[0]->name, (long long)x->value.dims[0],
                       (long long)x->value.dims[1]);
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, tape->be->dtype, rows, width));
    FB_TRY(tape->be->k->embed_forward(tape->ctx, tape->be, &out->value,
                                      x ? &x->value : NULL, &e));
    fb_tape_charge(tape, "embed", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(embed_node), "embed", tables[0]->name,
                          out, embed_backward));
    if (node) {
        embed_node *n = (embed_node *)node;
        n->x = x;
        for (int32_t k = 0; k < table_count; k++)
            n->tables[k] = tables[k];
        n->embed = e;
    }
    *y = out;
    return FB_OK;
}
