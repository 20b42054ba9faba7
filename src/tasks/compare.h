/* compare.h - what the parts of the compare verb share.
 *
 *     OUT/plan.json             what is compared under: a folder of anything else is
 *                               refused
 *     OUT/candidates.jsonl      the candidate lists that all rank
 *     OUT/features/             the shared image network, unless --features names one
 *     OUT/features.json         written when it is trained
 *     OUT/features.cache        what it makes of each image
 *     OUT/models/NAME-SEED/     a model, as train makes it
 *     OUT/results/NAME-SEED.json   what was found with it; written last, so that its
 *                               being there says that system and seed are done
 *     OUT/compare.json, compare.csv, compare.tex, report.html
 *
 * A model folder named by --systems has a result alone, NAME being made of its path.
 */
#ifndef FB_TASKS_COMPARE_H
#define FB_TASKS_COMPARE_H

#include "engine/split_items.h"
#include "fashionbert.h"
#include "models/system.h"

enum {
    FB_COMPARE_TOP = 5,     /* photos of an example */
    FB_COMPARE_CURVE = 200, /* points of a learning curve, at most */
};

/* What --systems names. */
typedef struct fb_compare_entry {
    char name[128];          /* in tables */
    char key[160];           /* in file names */
    const fb_system *system; /* NULL: a model folder, or the linear floor */
    bool floor;              /* the linear baseline (linear_floor.h) */
    char folder[4096];       /* of a model; else "" */
} fb_compare_entry;

/* A title's best photos by one model. */
typedef struct fb_compare_example {
    int32_t query;                /* item of the split */
    int32_t best[FB_COMPARE_TOP]; /* items, -1: there are not as many */
    int64_t rank, candidates;     /* of the title's own */
} fb_compare_example;

typedef struct fb_compare_point {
    double products, value;
} fb_compare_point;

/* Of one system and seed, or of a model folder. */
typedef struct fb_compare_result {
    bool there; /* else message says why not, "": not tried yet */
    char message[1024];
    uint64_t seed, fingerprint; /* fingerprint: fb_model_fingerprint */
    int64_t steps, products, parameters;
    double train_seconds, processor_seconds; /* NaN: not known */
    double pairs_per_s;
    fb_evaluation *evaluation;
    char measure[64]; /* whose values on the validation split the curve has */
    fb_compare_point curve[FB_COMPARE_CURVE];
    int32_t curve_count;
    fb_compare_example *examples;
    int32_t example_count;
} fb_compare_result;

typedef struct fb_compare_run {
    fb_context *ctx;
    const fb_compare_options *options;
    fb_split_items *items;
    fb_compare_entry *entries;
    int32_t entry_count;
    fb_compare_result *results; /* [entry_count, options->seeds] */
    int32_t train_items;
    char features[4096]; /* "": not needed, or not there yet */
    double features_seconds, features_processor_s; /* NaN: trained elsewhere */
    int32_t done, done_before;
} fb_compare_run;

/* How many trainings an entry has, and one of them. */
int32_t fb_compare_seeds(const fb_compare_run *c, int32_t entry);
fb_compare_result *fb_compare_result_of(const fb_compare_run *c, int32_t entry,
                                        int32_t seed);
void fb_compare_result_clear(fb_compare_result *result);

/* ---- compare_plan.c ---------------------------------------------------------------
 */

/* Entries of options->systems. FB_E_USAGE: a name is none, or given twice. */
fb_status fb_compare_list(fb_compare_run *c);
/* Make OUT, or look whether it is of the same catalogue and options: FB_E_STATE. */
fb_status fb_compare_begin(fb_compare_run *c);
fb_status fb_compare_path(const fb_compare_run *c, char out[4096], const char *name);
/* How evaluation ranks: the options' protocol on OUT's candidates. */
fb_status fb_compare_protocol(const fb_compare_run *c, fb_evaluate_options *options,
                              char candidates[4096]);

/* ---- compare_train.c --------------------------------------------------------------
 */

/* The shared image network, trained unless it is there. */
fb_status fb_compare_features(fb_compare_run *c);
/* Train a system into `folder`, from its last checkpoint where there is one. */
fb_status fb_compare_train(fb_compare_run *c, const fb_compare_entry *entry,
                           uint64_t seed, const char *folder,
                           fb_compare_result *result);

/* ---- compare_rank.c ---------------------------------------------------------------
 */

/* Evaluate the model and choose the examples' photos; fills fingerprint, pairs_per_s,
 * evaluation and examples, and parameters where they are not known. */
fb_status fb_compare_rank(fb_compare_run *c, const char *folder,
                          fb_compare_result *result);

/* The same of the linear floor, learnt first. */
fb_status fb_compare_floor(fb_compare_run *c, fb_compare_result *result);

/* ---- compare_result.c -------------------------------------------------------------
 */

fb_status fb_compare_result_write(fb_context *ctx, const char *path,
                                  const fb_compare_result *result);
/* FB_E_MISSING: no such file. On failure result is cleared. */
fb_status fb_compare_result_read(fb_context *ctx, const char *path,
                                 fb_compare_result *result);

/* ---- compare_rows.c ---------------------------------------------------------------
 */

/* Means, spreads and intervals of what is there. */
fb_status fb_compare_rows(fb_compare_run *c, fb_comparison **comparison);

/* ---- compare_files.c, compare_report.c --------------------------------------------
 */

fb_status fb_compare_write_json(const fb_compare_run *c,
                                const fb_comparison *comparison);
fb_status fb_compare_write_csv(const fb_compare_run *c,
                               const fb_comparison *comparison);
fb_status fb_compare_write_tex(const fb_compare_run *c,
                               const fb_comparison *comparison);
fb_status fb_compare_write_report(const fb_compare_run *c,
                                  const fb_comparison *comparison);

/* A CSV field (RFC 4180), and text in LaTeX, its ten special characters made plain. */
void fb_csv_text(FILE *out, const char *text);
void fb_latex_text(FILE *out, const char *text);

#endif
