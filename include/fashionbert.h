/* fashionbert.h - match product texts and product images.
 *
 * The whole public interface, simple first:
 *
 *     fb_context *ctx = fb_context_create();
 *     fb_model *model = NULL;
 *     if (fb_model_open(ctx, &model, "my-model", NULL) != FB_OK)
 *         die(fb_context_message(ctx));
 *     const char *texts[] = {"red summer dress"}, *images[] = {"1.jpg", "2.jpg"};
 *     float scores[2];
 *     fb_model_score(ctx, model, texts, 1, images, 2, scores);
 *     fb_model_close(model);
 *     fb_context_free(ctx);
 *
 * Rules that hold for every function here:
 *   - A function that can fail returns fb_status. Anything but FB_OK left a sentence in
 * the context: what, where in the input, what would be right. Nothing else changed:
 * outputs are untouched, files on disk are as they were before the call.
 *   - Pairs create/free and open/close; free and close take NULL.
 *   - Strings are UTF-8 and borrowed for the call. One context serves one thread.
 *   - Every options struct starts as what its fb_..._defaults() filled in.
 */
#ifndef FASHIONBERT_H
#define FASHIONBERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every status: name and what it means. The one list of them. */
#define FB_STATUS_MAP(X)                                                               \
    X(FB_OK, "done")                                                                   \
    X(FB_E_USAGE, "misused: an option or argument is wrong")                           \
    X(FB_E_MEMORY, "out of memory")                                                    \
    X(FB_E_IO, "a file could not be read or written")                                  \
    X(FB_E_MISSING, "a file or entry is missing")                                      \
    X(FB_E_FORMAT, "the bytes are not what their format promises")                     \
    X(FB_E_LIMIT, "larger than the limit allows")                                      \
    X(FB_E_SHAPE, "shapes do not fit")                                                 \
    X(FB_E_DTYPE, "element types do not fit")                                          \
    X(FB_E_ALIAS, "an output shares memory with an input")                             \
    X(FB_E_BACKEND, "the compute backend failed")                                      \
    X(FB_E_NUMBER, "a number is NaN or infinite")                                      \
    X(FB_E_STATE, "called in the wrong state")

typedef enum fb_status {
#define FB_STATUS_ENUM(name, text) name,
    FB_STATUS_MAP(FB_STATUS_ENUM)
#undef FB_STATUS_ENUM
} fb_status;

/* "FB_E_IO" and its meaning; never NULL, whatever the number. */
const char *fb_status_name(fb_status status);
const char *fb_status_text(fb_status status);

/* A context carries the sentence of the last failure. NULL when memory is out. */
typedef struct fb_context fb_context;
fb_context *fb_context_create(void);
void fb_context_free(fb_context *ctx);
const char *fb_context_message(const fb_context *ctx); /* "" after success */

/* ---- 1. Use a model ------------------------------------------------------------- */

typedef struct fb_model fb_model;

typedef struct fb_model_options {
    const char *backend; /* "cpu" or "ref" */
    const char *dtype;   /* "auto", "bf16" or "f32"; auto: bf16 where the CPU has it */
    int32_t threads;     /* 0: all cores this process may use */
} fb_model_options;

void fb_model_options_defaults(fb_model_options *options);

/* Open a model folder (config.json, vocab.txt, model.safetensors). options may be NULL.
 */
fb_status fb_model_open(fb_context *ctx, fb_model **model, const char *folder,
                        const fb_model_options *options);
void fb_model_close(fb_model *model);

/* Match probability P(match) in [0,1] of every text with every image file.
 * scores [texts, images] row-major. */
fb_status fb_model_score(fb_context *ctx, fb_model *model, const char *const *texts,
                         int32_t text_count, const char *const *image_files,
                         int32_t image_count, float *scores);

/* Write a PNG to look at: a row a caption, images_per_row thumbnails a row, under each
 * its own caption. image_files and image_captions [row_count, images_per_row];
 * image_captions may be NULL. */
fb_status fb_contact_sheet(fb_context *ctx, const char *path,
                           const char *const *captions, int32_t row_count,
                           const char *const *image_files, int32_t images_per_row,
                           const char *const *image_captions);

/* ---- 2. Bring a catalogue in ------------------------------------------------------
 */

typedef struct fb_import_options {
    const char *const *sources; /* files to read, in order */
    int32_t source_count;
    const char *from;     /* "sweethome3d": .sh3f or .jar furniture catalogues */
    const char *out;      /* folder to make; must not exist */
    const char *split;    /* "80/10/10": percent of train/val/test, by title */
    const char *language; /* "" for the catalogue's own, else e.g. "zh_CN" */
    bool quiet;
} fb_import_options;

typedef struct fb_import_report {
    int64_t items, skipped, train, val, test;
} fb_import_report;

void fb_import_options_defaults(fb_import_options *options);
fb_status fb_import(fb_context *ctx, const fb_import_options *options,
                    fb_import_report *report);

/* ---- 3. Train -----------------------------------------------------------------------
 */

/* Where a comment says auto, the default, "auto" or -1, leaves the choice to the
 * objective (docs/recipes.md). With all of them left, and no init, config or steps, the
 * recipe for the catalogue's size is trained, stage by stage; with all but objective
 * "itc", the stages that make its vectors. */
typedef struct fb_train_options {
    const char *catalog;   /* imagefolder catalogue */
    const char *out;       /* model folder to make */
    bool resume;           /* go on from the last checkpoint in `out` */
    const char *preset;    /* "mini" 4x256, "small" 4x512, "base" 12x768 */
    const char *config;    /* config.json with other sizes; "" for the preset's */
    const char *vocab;     /* vocab.txt; "" to learn one from the catalogue */
    int32_t vocab_size;    /* of a learnt vocabulary */
    const char *objective; /* "match", "itc" or "selfie"; auto */
    const char *init;      /* model folder, or a BERT's, to start from; "": random */
    int32_t layers;        /* of the trunk, the first ones of init; 0: all of them */
    const char *encoder;   /* "pixels", "thin", "resnet18", ...; auto */
    const char *encoder_weights; /* safetensors of torchvision or timm; "": random */
    const char *patches; /* "grid": the image once; "each": patch by patch; auto */
    int32_t patch_size;  /* each: pixels a side that a patch is resized to; auto */
    int32_t image_size;  /* pixels a side; auto */
    bool freeze_encoder; /* the network is not trained */
    const char *feature_cache; /* frozen: file of its features, computed once; "":
                                  features.cache in out; "none": anew in every step */
    double encoder_lr;         /* the encoder's share of the learning rate */
    const char *fit;           /* "pad", "squash" or "auto" */
    int32_t max_text;          /* tokens of a title with [CLS] and [SEP] */
    double epochs;      /* passes over the training split; steps > 0 wins; auto */
    int64_t steps;      /* optimiser steps; 0: by epochs */
    int32_t batch;      /* pairs a step, half matched and half mismatched; items
                           with itc or hard negatives; auto */
    int32_t accumulate; /* batches whose gradients make one step */
    double lr, weight_decay, warmup; /* warmup: fraction of all steps; auto */
    double clip, beta1, beta2, dropout;
    double itc; /* weight of the contrastive loss; auto */
    int32_t vector_size,
        text_layers; /* its vectors' width; trunk layers of texts; auto */
    int32_t group;   /* items of one category side by side in a batch; auto */
    double flip, shift, text_mask; /* augmentation; auto */
    double patch_keep; /* share of the patches that pairs with hard negatives show while
                          training; auto */
    const char *adaptive;      /* "gradient", "softmax" or "fixed" */
    bool adaptive_detach;      /* softmax: no gradient through the weights */
    const char *adaptive_norm; /* gradient: "output" or "shared" parameters */
    const char *losses;        /* any of "mlm,mpm,tia"; auto */
    const char *negatives;     /* "category" of the product, "any", or "hard"; auto */
    int32_t hard_negatives;    /* hard: of each item each way; auto */
    double hardness;       /* hard: 0 draws any of the batch, 1 by similarity; auto */
    double hard_warmup;    /* hard: share of the steps in which hardness rises; auto */
    const char *alignment; /* "pairs" or "list" (hard); auto */
    bool masked_on_mismatched; /* masked losses on mismatched pairs too */
    uint64_t seed;
    int64_t checkpoint_every; /* steps; 0: once an epoch */
    int64_t validate_every;   /* steps; 0: with each checkpoint */
    int32_t validate_pairs;   /* at most so many matched validation pairs */
    const char *backend, *dtype;
    int32_t threads;
    int32_t loader_threads;
    bool quiet;
    int32_t stage, stages; /* set by fb_train: of a recipe, this one and how many; 0 */
} fb_train_options;

void fb_train_options_defaults(fb_train_options *options);

typedef struct fb_train_report {
    int64_t steps;
    double seconds, wait_seconds;    /* wait: training stood still for data */
    double loss, mlm, mpm, tia, itc; /* means over the last 100 steps */
    double selfie;                   /* likewise */
    double best_val_accuracy;
    double chance; /* selfie: what guessing reaches of that accuracy; else 0 */
    int64_t best_step;
} fb_train_report;

/* Train and write a model folder: best weights at its top, the last complete checkpoint
 * in `last/`. Killed at any instant, `resume` goes on to the bit. */
fb_status fb_train(fb_context *ctx, const fb_train_options *options,
                   fb_train_report *report);

/* ---- 4. Evaluate --------------------------------------------------------------------
 */

typedef struct fb_evaluate_options {
    const char *model, *catalog, *split;
    const char *protocol;  /* "sampled" or "full" */
    const char *negatives; /* sampled: "category" or "any" */
    const char *score;     /* "own": the model's; or "tia", "itc", "both" */
    int32_t queries;       /* sampled: each way, at most; 0: all */
    int32_t negative_count;
    int32_t min_candidates; /* a query with fewer others is left out */
    int32_t draws;
    uint64_t seed;
    const char *candidates; /* "": none; else re-read if it exists, else written */
    const char *trec;       /* "": none; else prefix of .run and .qrels files */
    const char *backend, *dtype;
    int32_t threads;
    bool quiet;
} fb_evaluate_options;

/* One direction of ranking; rates as fractions, means over draws. */
typedef struct fb_ranking {
    int64_t queries, left_out;
    double candidates_mean;
    double r1, r5, r10, r_all; /* r_all must be 1: the sanity check */
    double mrr, median_rank, chance_r1;
} fb_ranking;

typedef struct fb_category_result {
    char name[96];
    fb_ranking image_to_text, text_to_image;
} fb_category_result;

typedef struct fb_evaluation {
    int64_t items;
    fb_ranking image_to_text, text_to_image;
    double sum_r;    /* R@1 + R@5 + R@10, both ways */
    char score[8];   /* what was ranked by: "tia", "itc" or "both" */
    double accuracy; /* of matched against mismatched pairs, at probability 1/2; NaN
                        for another score than the model's own */
    double auc;
    int64_t pairs_scored;
    double seconds;
    fb_category_result *categories; /* largest first; owned */
    int64_t category_count;
} fb_evaluation;

void fb_evaluate_options_defaults(fb_evaluate_options *options);
fb_status fb_evaluate(fb_context *ctx, const fb_evaluate_options *options,
                      fb_evaluation **evaluation);
void fb_evaluation_free(fb_evaluation *evaluation);

/* ---- 5. Measure ---------------------------------------------------------------------
 */

typedef struct fb_bench_options {
    const char *presets; /* some of "mini,small,base": runs on pixels */
    const char *modes;   /* some of "score,train,features,images" */
    int32_t batch, text_tokens, repeats;
    const char *encoders;       /* "pixels", and networks of runs with one */
    const char *encoder_preset; /* what is trained with each network */
    int32_t encoder_batch;      /* pairs, or images, a step of runs with a network */
    const char *image_folder;   /* "": none; keeps the JPEGs of mode images */
    const char *backend, *dtype;
    int32_t threads;
    bool profile; /* fill op_seconds */
    bool quiet;
} fb_bench_options;

enum {
    FB_BENCH_OPS = 40,
    FB_BENCH_RUNS = 32,
    FB_BENCH_IMAGES = 2,
    FB_BENCH_REPEATS = 200
};

typedef struct fb_bench_run {
    char encoder[16]; /* the network; "": pixels */
    char preset[16];  /* "": the network alone, mode "features" */
    char mode[12], dtype[8];
    int32_t image_size;
    double pairs_per_s;        /* median of repeats; NaN of features */
    double images_per_s;       /* of features; else NaN */
    double tflops;             /* model FLOPs of the real tokens and images */
    double fraction;           /* of gemm_tflops */
    int64_t peak_memory_bytes; /* parameters, optimiser and step arena */
    int32_t op_count;
    char op_name[FB_BENCH_OPS][24];
    double op_seconds[FB_BENCH_OPS]; /* a step */
} fb_bench_run;

/* A JPEG [height, width] to pixels [size, size], on one thread. */
typedef struct fb_bench_image {
    int32_t width, height, size;
    int64_t jpeg_bytes;
    double images_per_s; /* decoded and padded; median of repeats */
} fb_bench_image;

typedef struct fb_bench_report {
    char machine[128];
    int32_t threads;
    double gemm_tflops; /* 2048x768x3072, same dtype and threads, median */
    int32_t run_count, image_count;
    fb_bench_run runs[FB_BENCH_RUNS];
    fb_bench_image images[FB_BENCH_IMAGES];
} fb_bench_report;

void fb_bench_options_defaults(fb_bench_options *options);
fb_status fb_bench(fb_context *ctx, const fb_bench_options *options,
                   fb_bench_report *report);

#ifdef __cplusplus
}
#endif
#endif
