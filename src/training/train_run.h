/* train_run.h - everything a training run holds; opened afresh or from its last
 * checkpoint. */
#ifndef FB_TRAINING_TRAIN_RUN_H
#define FB_TRAINING_TRAIN_RUN_H

#include "data/batch/feature_rows.h"
#include "data/batch/loader.h"
#include "models/matcher.h"
#include "nn/optimizer.h"
#include "training/train_init.h"
#include "training/train_log.h"
#include "training/train_schedule.h"
#include "training/train_state.h"

typedef struct fb_train_run {
    fb_context *ctx;
    fb_train_options options; /* as given, or as the resumed run was started */
    const fb_system *system;  /* whose objective it is */
    fb_train_plan plan;
    void *step; /* its options of a step, system->step_bytes */
    fb_optimizer_options optimizer;
    fb_arena *strings; /* of options read back */
    fb_arena *arena;   /* of a step */
    fb_backend *be;
    const fb_comm *comm; /* the processes of the run */
    fb_catalogue *catalogue;
    fb_query_set *queries;                  /* where the system reads them; else NULL */
    fb_query_split *query_split[FB_SPLITS]; /* train and val; NULL: none */
    fb_vocab *vocab;
    fb_matcher *matcher;
    fb_loader *loader;
    fb_feature_cache *feature_cache; /* of a frozen network; see train_features.h */
    fb_feature_rows feature_rows;
    fb_region_table *regions;  /* in place of photos; NULL: none */
    fb_feature_table features; /* cache NULL: batches have pixels */
    fb_train_log *log;
    fb_train_state state;
    fb_train_schedule schedule;         /* of state.planned_steps */
    char shorten[FB_TRAIN_TURNS_BYTES]; /* options.shorten, where the run said more */
    bool measuring;                     /* as opened */
    double features_s;                  /* that making features before training took */
    fb_start start;                     /* of a fresh run */
    int32_t matched;                    /* matched pairs a batch */
    int64_t steps_per_epoch;            /* at least 1 */
    int64_t checkpoint_every, validate_every;
    bool has_validation;
} fb_train_run;

/* How a run is opened, beside its options. Those of a resumed one are in its state. */
typedef struct fb_train_opening {
    int32_t stage, stages; /* of a recipe; 0 of 0: a run of one's own */
    int64_t steps;         /* of a fresh run at most; 0: what the options make */
    double processor_s;    /* that have been spent on a fresh run */
    bool measuring;        /* a run to look at: it leaves no model and no log */
    bool
        *said; /* whether the line that training begins with has been said; NULL: yes */
    const fb_model_config
        *shape;        /* of one to look at, what it will start from when that
                                     is there; NULL: the options' start is there */
    double begun_s;    /* fb_clock_s() when training, the stages before too, began: time
                          between its starts is left out */
    double deadline_s; /* behind begun_s, when a fresh run is to end; 0: any time */
    double later_s;    /* that later stages will take, about */
    double step_s, validation_s, end_s; /* what is known of costs (train_pace.h); 0 */
} fb_train_opening;

/* Check the options, then make OUT or open its last checkpoint.
 * FB_E_USAGE: an option is wrong, or OUT holds a model already and resume is off. */
fb_status fb_train_run_open(fb_context *ctx, fb_train_run **run,
                            const fb_train_options *options,
                            const fb_train_opening *opening);
void fb_train_run_close(fb_train_run *run);

/* Products that a step learns from. */
int64_t fb_train_run_products(const fb_train_run *run);

/* Loader of a split's batches from micro-batch `first`. learning: with what training does
 * to them (augmentation, hidden words). */
fb_status fb_train_run_loader(fb_train_run *run, fb_loader **loader, fb_split split,
                              bool learning, int64_t first, int64_t count);

/* The system's options of micro-batch `number` of the planned schedule, or of validation batch `number`. */
const void *fb_train_run_step(fb_train_run *run, int64_t number, bool validation);

#endif
