/* recipe.c - see recipe.h. */
#include "training/recipe.h"

#include "training/train_options.h"

#include <string.h>

/* What an objective takes where nothing is said. */
typedef struct objective_row {
    const char *name;
    const char *encoder, *patches, *losses, *negatives, *alignment, *fit;
    double epochs, lr, weight_decay, warmup, itc, flip, shift, zoom, text_mask,
        rare_mask, hardness, hard_warmup, patch_keep, unmask_last, soft_targets;
    int32_t batch, vector_size, group, hard_negatives, hard_items;
} objective_row;

static const objective_row rows[] = {
    {.name = "match",
     .encoder = "pixels",
     .patches = "grid",
     .losses = "mlm,mpm,tia",
     .negatives = "category",
     .alignment = "pairs",
     .fit = "pad",
     .epochs = 10,
     .lr = 5e-4,
     .weight_decay = 0.01,
     .warmup = 0.03,
     .batch = 64,
     .hard_negatives = 3,
     .hardness = 1,
     .hard_warmup = 0.2,
     .patch_keep = 1},
    {.name = "itc",
     .encoder = "thin",
     .patches = "grid",
     .losses = "",
     .negatives = "category",
     .alignment = "pairs",
     .fit = "squash",
     .epochs = 15,
     .lr = 1e-3,
     .weight_decay = 0.05,
     .warmup = 0.05,
     .itc = 1,
     .flip = 0.5,
     .text_mask = 0.1,
     .batch = 256,
     .vector_size = 256,
     .hard_negatives = 3,
     .hardness = 1,
     .hard_warmup = 0.2,
     .patch_keep = 1},
    {.name = "qti",
     .encoder = "pixels",
     .patches = "grid",
     .losses = "click",
     .negatives = "category",
     .alignment = "pairs",
     .fit = "pad",
     .epochs = 3,
     .lr = 2e-4,
     .weight_decay = 0.01,
     .warmup = 0.05,
     .batch = 64,
     .hard_negatives = 3,
     .hardness = 1,
     .patch_keep = 1},
    {.name = "selfie",
     .encoder = "thin",
     .patches = "each",
     .losses = "",
     .negatives = "category",
     .alignment = "pairs",
     .fit = "squash",
     .epochs = 15,
     .lr = 1e-3,
     .weight_decay = 0.05,
     .warmup = 0.05,
     .batch = 64,
     .hard_negatives = 3,
     .hardness = 1,
     .patch_keep = 1},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

/* The stages, as one would type them; beside that the number of epochs in which about
 * `products` go by, and how often rare words are hidden. */
enum { STAGES = 3, MOST_SAID = 24 };
typedef struct stage_row {
    double products;
    fb_option_value said[MOST_SAID];
} stage_row;

static const stage_row stages[STAGES] = {
    {.products = 300000, .said = {{"objective", "itc"}, {"flip", "0.5"}}},
    {.products = 150000,
     .said = {{"objective", "itc"},
              {"flip", "0.5"},
              {"group", "32"},
              {"lr", "8e-4"},
              {"warmup", "0.03"}}},
    {.products = 480000,
     .said = {{"objective", "match"},
              {"flip", "0.5"},
              {"group", "32"},
              {"losses", "tia"},
              {"negatives", "hard"},
              {"alignment", "block"},
              {"hard-negatives", "7"},
              {"hardness", "0.5"},
              {"hard-warmup", "0.05"},
              {"patch-keep", "0.5"},
              {"unmask-last", "0.2"},
              {"soft-targets", "0.8"},
              {"itc", "1"},
              {"batch", "256"}, /* for the vectors; alignment learns from half of it */
              {"hard-items", "128"},
              {"lr", "7e-4"},
              {"weight-decay", "0.05"},
              {"zoom", "0.15"},
              {"text-mask", "0.1"}}},
};

static bool is_auto(const char *word)
{
    return strcmp(word, "auto") == 0;
}

/* Nothing said about what or how to learn, the objective aside. */
static bool is_open(const fb_train_options *o)
{
    const fb_option_table *table = &fb_train_option_table;
    for (int32_t i = 0; i < table->count; i++) {
        const fb_option *row = &table->rows[i];
        bool objective = row->offset == offsetof(fb_train_options, objective);
        if (!objective && fb_train_option_is_own(row) && !fb_option_is_default(row, o))
            return false;
    }
    return true;
}

int32_t fb_recipe_stages(const fb_train_options *options)
{
    if (!is_open(options))
        return 0;
    return is_auto(options->objective)              ? STAGES
           : strcmp(options->objective, "itc") == 0 ? STAGES - 1
                                                    : 0;
}

/* Passes over a split so that about `products` go by: small splits are seen more often,
 * within reason. */
static double passes(double products, int32_t items)
{
    double epochs = products / (items > 0 ? items : 1);
    return epochs < 1 ? 1 : epochs > 60 ? 60 : epochs;
}

/* A word of ten products among thousands says little about others; where there are few
 * products all words are of few. */
static double rare_words(int32_t items)
{
    return items < 5000 ? items / 500.0 : 10;
}

fb_status fb_recipe_stage(fb_context *ctx, fb_train_options *stage,
                          const fb_train_options *options, int32_t number,
                          int32_t items)
{
    const fb_option_table *table = &fb_train_option_table;
    fb_train_options_defaults(stage);
    for (int32_t i = 0; i < table->count; i++)
        if (!fb_train_option_is_own(&table->rows[i]))
            fb_option_copy(&table->rows[i], stage, options);
    const stage_row *row = &stages[number - 1];
    for (int32_t i = 0; i < MOST_SAID && row->said[i].name; i++)
        FB_TRY(fb_option_set(ctx, table, stage, row->said[i].name, row->said[i].value));
    stage->rare_mask = rare_words(items);
    stage->epochs = passes(row->products, items);
    if (number > 1)
        stage->vocab = ""; /* that of the stage before */
    return FB_OK;
}

bool fb_recipe_freezes(const fb_train_options *o)
{
    return strcmp(o->encoder, "pixels") != 0 &&
           (o->freeze_encoder || !(o->encoder_lr > 0));
}

bool fb_recipe_keeps_features(const fb_train_options *o)
{
    return fb_recipe_freezes(o) && strcmp(o->feature_cache, "none") != 0;
}

static void fill_word(const char **word, const char *value)
{
    if (is_auto(*word))
        *word = value;
}

static void fill_real(double *number, double value)
{
    if (*number < 0)
        *number = value;
}

static void fill_int(int32_t *number, int32_t value)
{
    if (*number < 0)
        *number = value;
}

static const objective_row *find(const char *name)
{
    for (int i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

/* Selfie learns a network that sees each patch alone, and nothing else. */
static fb_status check_selfie(fb_context *ctx, const fb_train_options *o)
{
    if (strcmp(o->objective, "selfie") != 0)
        return FB_OK;
    if (strcmp(o->patches, "each") != 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--objective selfie needs --patches each: a map of the whole "
                       "image would have seen the masked patches");
    if (strcmp(o->encoder, "pixels") == 0 || fb_recipe_freezes(o))
        return fb_fail(ctx, FB_E_USAGE,
                       "--objective selfie trains an image network; give --encoder "
                       "one, and do not freeze it");
    if (o->losses[0] || o->itc > 0 || strcmp(o->negatives, "hard") == 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--objective selfie takes no --losses, --itc or hard "
                       "negatives: it learns from images alone");
    return FB_OK;
}

/* Queries have triples, drawn in their own way, and no vectors. */
static fb_status check_qti(fb_context *ctx, const fb_train_options *o)
{
    if (strcmp(o->objective, "qti") != 0) {
        if (o->clicks[0])
            return fb_fail(ctx, FB_E_USAGE,
                           "--clicks %s: a click log is learnt by --objective qti",
                           o->clicks);
        return FB_OK;
    }
    if (o->itc > 0 || strcmp(o->negatives, "hard") == 0 || o->group > 0 ||
        o->text_mask > 0 || o->rare_mask > 0)
        return fb_fail(
            ctx, FB_E_USAGE,
            "--objective qti takes no --itc, hard negatives, --group, "
            "--text-mask or --rare-mask: products that a query did not want are its "
            "mismatches");
    if (o->encoder_weights[0])
        return fb_fail(ctx, FB_E_USAGE,
                       "--objective qti takes the image network of --init, no "
                       "--encoder-weights");
    return FB_OK;
}

static fb_status check(fb_context *ctx, const fb_train_options *o)
{
    FB_TRY(check_selfie(ctx, o));
    FB_TRY(check_qti(ctx, o));
    bool hard = strcmp(o->negatives, "hard") == 0;
    bool block = strcmp(o->alignment, "block") == 0;
    bool list = block || strcmp(o->alignment, "list") == 0;
    if (!list && strcmp(o->alignment, "pairs") != 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--alignment %s is not known; use pairs, list or block",
                       o->alignment);
    if (list && !hard)
        return fb_fail(ctx, FB_E_USAGE,
                       "--alignment %s chooses among hard negatives; it needs "
                       "--negatives hard",
                       o->alignment);
    if (o->soft_targets > 0 && !list)
        return fb_fail(ctx, FB_E_USAGE,
                       "--soft-targets is of a choice among hard negatives; it needs "
                       "--alignment list or block");
    bool masked = strstr(o->losses, "mlm") || strstr(o->losses, "mpm");
    if (block && masked)
        return fb_fail(ctx, FB_E_USAGE,
                       "--alignment block makes no pair of some items; it needs "
                       "--losses tia");
    if (hard && o->vector_size == 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--negatives hard draws by the similarity of vectors; give "
                       "--vector-size, or --init with a model that has them");
    if (o->hard_items > 0 && (!hard || masked))
        return fb_fail(ctx, FB_E_USAGE,
                       "--hard-items makes pairs of part of a batch, which tia alone "
                       "can learn from; it needs --negatives hard --losses tia");
    if (o->patch_keep < 1 && (!hard || masked))
        return fb_fail(ctx, FB_E_USAGE,
                       "--patch-keep leaves patches out of pairs with hard negatives "
                       "that only tia judges; it needs --negatives hard --losses tia");
    if (o->unmask_last > 0 && !(o->patch_keep < 1))
        return fb_fail(ctx, FB_E_USAGE,
                       "--unmask-last ends what --patch-keep leaves out, which is "
                       "nothing");
    if ((o->text_mask > 0 || o->rare_mask > 0) && !hard && !(o->itc > 0))
        return fb_fail(ctx, FB_E_USAGE,
                       "--text-mask and --rare-mask hide words of batches of items; "
                       "they need --itc or --negatives hard");
    if (o->itc > 0 && !hard && o->losses[0])
        return fb_fail(ctx, FB_E_USAGE,
                       "--itc beside --losses %s needs --negatives hard: both learn "
                       "from the same batch of items",
                       o->losses);
    return FB_OK;
}

fb_status fb_recipe_fill(fb_context *ctx, fb_train_options *o)
{
    fill_word(&o->objective, "match");
    const objective_row *r = find(o->objective);
    if (!r)
        return fb_fail(ctx, FB_E_USAGE,
                       "--objective %s is not known; use match, itc, qti or selfie",
                       o->objective);
    bool vectors = o->itc > 0 || strcmp(o->negatives, "hard") == 0;
    fill_word(&o->encoder, r->encoder);
    fill_word(&o->patches, r->patches);
    fill_word(&o->losses, r->losses);
    fill_word(&o->negatives, r->negatives);
    fill_word(&o->alignment, r->alignment);
    bool block = strcmp(o->alignment, "block") == 0;
    fill_word(&o->alignment_head, block ? "product" : "cls");
    fill_int(&o->patches_from, block ? o->text_layers : 0); /* -1: where these end */
    fill_word(&o->fit, r->fit);
    fill_real(&o->epochs, r->epochs);
    fill_real(&o->lr, r->lr);
    fill_real(&o->weight_decay, r->weight_decay);
    fill_real(&o->warmup, r->warmup);
    fill_real(&o->itc, r->itc);
    bool keeps = fb_recipe_keeps_features(o); /* of images as they are */
    fill_real(&o->flip, keeps ? 0 : r->flip);
    fill_real(&o->shift, keeps ? 0 : r->shift);
    fill_real(&o->zoom, keeps ? 0 : r->zoom);
    fill_real(&o->text_mask, r->text_mask);
    fill_real(&o->rare_mask, r->rare_mask);
    fill_real(&o->hardness, r->hardness);
    fill_real(&o->hard_warmup, r->hard_warmup);
    fill_real(&o->patch_keep, r->patch_keep);
    fill_real(&o->unmask_last, r->unmask_last);
    fill_real(&o->soft_targets, r->soft_targets);
    fill_int(&o->batch, r->batch);
    fill_int(&o->vector_size, vectors ? 256 : r->vector_size);
    fill_int(&o->group, r->group);
    fill_int(&o->hard_negatives, r->hard_negatives);
    fill_int(&o->hard_items, r->hard_items);
    bool thin = strcmp(o->encoder, "thin") == 0;
    fill_int(&o->image_size, thin ? 96 : 256);
    if (strcmp(o->objective, "selfie") == 0) /* patches as large as a grid's */
        fill_int(&o->patch_size, thin ? 12 : 32);
    fill_int(&o->patch_size, thin ? 32 : 64);
    return check(ctx, o);
}
