/* cli_train.c - `fashionbert train`: a catalogue becomes a model folder. */
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"

typedef struct train_arguments {
    fb_train_options task;
    bool json;
} train_arguments;

#define AT(member) offsetof(train_arguments, task.member)

static const fb_option options[] = {
    {.name = "catalog",
     .value = "DIR",
     .type = FB_OPTION_STRING,
     .offset = AT(catalog),
     .required = true,
     .unless = "resume",
     .help = "catalogue to learn from: metadata.jsonl and its images"},
    {.name = "out",
     .value = "DIR",
     .type = FB_OPTION_STRING,
     .offset = AT(out),
     .required = true,
     .help = "model folder to make"},
    FB_OPTION_FLAG_ROW(train_arguments, "resume", task.resume,
                       "go on from the last checkpoint in the model folder, with the "
                       "options it was started with"),
    {.name = "preset",
     .value = "NAME",
     .type = FB_OPTION_CHOICE,
     .choices = "mini,small,base",
     .offset = AT(preset),
     .help = "size: mini is 4 layers of width 256, small 4 of 512, base 12 of 768"},
    {.name = "config",
     .value = "FILE",
     .type = FB_OPTION_STRING,
     .offset = AT(config),
     .help = "config.json with other sizes than the preset's"},
    {.name = "vocab",
     .value = "FILE",
     .type = FB_OPTION_STRING,
     .offset = AT(vocab),
     .help = "vocab.txt; without one the catalogue's titles give it"},
    {.name = "vocab-size",
     .value = "WORDS",
     .type = FB_OPTION_INT32,
     .offset = AT(vocab_size),
     .low = 16,
     .high = 1000000,
     .help = "entries of a learnt vocabulary, at most"},
    {.name = "objective",
     .value = "NAME",
     .type = FB_OPTION_CHOICE,
     .choices = "auto,match,itc,qti,selfie",
     .offset = AT(objective),
     .help = "what is learnt: match trains FashionBERT, itc vectors of texts and of "
             "images alone, qti goes on from FashionBERT with queries and clicks, "
             "selfie the image network without any text; auto with no "
             "further option is the recipe of "
             "docs/recipes.md, else match"},
    {.name = "init",
     .value = "DIR",
     .type = FB_OPTION_STRING,
     .offset = AT(init),
     .help = "model folder to start from, of this program or a BERT from Hugging Face"},
    {.name = "clicks",
     .value = "FILE",
     .type = FB_OPTION_STRING,
     .offset = AT(clicks),
     .help = "with --objective qti: click log (query, product id, clicked, separated "
             "by tabs); without one clicks.tsv in the catalogue, or else the queries "
             "of its products; the word catalog takes these anyway"},
    {.name = "layers",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = AT(layers),
     .high = 48,
     .help = "of the trunk: the first so many of --init; 0 takes all"},
    {.name = "encoder",
     .value = "NAME",
     .type = FB_OPTION_CHOICE,
     .choices = "auto,pixels,thin,resnet18,resnet34,resnet50,resnet101,resnet152,"
                "resnext101",
     .offset = AT(encoder),
     .help = "what turns patches into features: pixels takes them as they are, the "
             "others are convolutional networks"},
    {.name = "encoder-weights",
     .value = "FILE",
     .type = FB_OPTION_STRING,
     .offset = AT(encoder_weights),
     .help = "safetensors file of the network, with torchvision's or timm's names"},
    {.name = "patches",
     .value = "HOW",
     .type = FB_OPTION_CHOICE,
     .choices = "auto,grid,each",
     .offset = AT(patches),
     .help = "grid runs the network once over the image, each over every patch alone"},
    {.name = "patch-size",
     .value = "PIXELS",
     .type = FB_OPTION_INT32,
     .offset = AT(patch_size),
     .low = 8,
     .high = 512,
     .automatic = true,
     .help = "with --patches each: a side of a patch when the network sees it"},
    {.name = "image-size",
     .value = "PIXELS",
     .type = FB_OPTION_INT32,
     .offset = AT(image_size),
     .low = 8,
     .high = 2048,
     .automatic = true,
     .help = "a side of the square that every image becomes"},
    FB_OPTION_FLAG_ROW(train_arguments, "freeze-encoder", task.freeze_encoder,
                       "do not train the network; what it makes of each image is "
                       "computed once, before training"),
    {.name = "feature-cache",
     .value = "FILE",
     .type = FB_OPTION_STRING,
     .offset = AT(feature_cache),
     .help = "with --freeze-encoder: where that is kept, for other runs too; without "
             "one it is features.cache in the model folder; none keeps nothing and "
             "runs the network in every step, which --flip, --shift and --zoom need"},
    {.name = "encoder-lr",
     .value = "SHARE",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(encoder_lr),
     .high = 1000,
     .help = "the network's learning rate as a share of --lr"},
    {.name = "fit",
     .value = "HOW",
     .type = FB_OPTION_CHOICE,
     .choices = "auto,pad,squash",
     .offset = AT(fit),
     .help = "how an image becomes square: white borders, or squashed"},
    {.name = "max-text",
     .value = "TOKENS",
     .type = FB_OPTION_INT32,
     .offset = AT(max_text),
     .low = 3,
     .high = 512,
     .help = "of a title, with [CLS] and [SEP]; the rest is cut"},
    {.name = "epochs",
     .value = "NUMBER",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(epochs),
     .low = 0,
     .high = INFINITY,
     .automatic = true,
     .help = "passes over the training split; --steps wins where it is not 0"},
    {.name = "steps",
     .value = "STEPS",
     .type = FB_OPTION_INT64,
     .offset = AT(steps),
     .high = INFINITY,
     .help = "optimiser steps in all; 0 goes by --epochs"},
    {.name = "batch",
     .value = "PAIRS",
     .type = FB_OPTION_INT32,
     .offset = AT(batch),
     .low = 2,
     .high = 65536,
     .automatic = true,
     .help = "pairs a batch, half of them matched and half mismatched; products a "
             "batch where --itc or hard negatives are used"},
    {.name = "accumulate",
     .value = "BATCHES",
     .type = FB_OPTION_INT32,
     .offset = AT(accumulate),
     .low = 1,
     .high = 65536,
     .help = "batches whose gradients make one step"},
    {.name = "lr",
     .value = "NUMBER",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(lr),
     .high = INFINITY,
     .automatic = true,
     .help = "learning rate at its peak, behind the warm-up"},
    {.name = "weight-decay",
     .value = "NUMBER",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(weight_decay),
     .high = INFINITY,
     .automatic = true,
     .help = "of AdamW, decoupled; none on biases and norms"},
    {.name = "clip",
     .value = "NORM",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(clip),
     .high = INFINITY,
     .help = "largest norm of a step's gradient; 0 does not clip"},
    {.name = "warmup",
     .value = "FRACTION",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(warmup),
     .high = 1,
     .automatic = true,
     .help = "of all steps, in which the learning rate rises"},
    {.name = "beta1",
     .value = "NUMBER",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(beta1),
     .high = 0.999999,
     .help = "AdamW's decay of the first moment"},
    {.name = "beta2",
     .value = "NUMBER",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(beta2),
     .high = 0.999999,
     .help = "AdamW's decay of the second moment"},
    {.name = "dropout",
     .value = "FRACTION",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(dropout),
     .high = 0.95,
     .help = "of activations set to zero while training"},
    {.name = "adaptive",
     .value = "MODE",
     .type = FB_OPTION_CHOICE,
     .choices = "gradient,softmax,fixed",
     .offset = AT(adaptive),
     .help =
         "weights of the losses: by gradient norms as in the paper, by softmax of the "
         "losses as in its code, or equal"},
    FB_OPTION_FLAG_ROW(train_arguments, "adaptive-detach", task.adaptive_detach,
                       "with softmax: no gradient through the weights"),
    {.name = "adaptive-norm",
     .value = "WHERE",
     .type = FB_OPTION_CHOICE,
     .choices = "output,shared",
     .offset = AT(adaptive_norm),
     .help =
         "with gradient: norms at the encoder's output, or over all shared parameters "
         "(slow)"},
    {.name = "losses",
     .value = "LIST",
     .type = FB_OPTION_SET,
     .choices = "auto,mlm,mpm,tia,click,qt,qi",
     .offset = AT(losses),
     .help = "masked words, masked patches, text and image alignment; with --objective "
             "qti also clicks, alignment of query and title, of query and image"},
    {.name = "itc",
     .value = "WEIGHT",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(itc),
     .high = 1000,
     .automatic = true,
     .help = "of the contrastive loss beside the others"},
    {.name = "margin",
     .value = "NUMBER",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(margin),
     .high = 1,
     .help = "of the contrastive loss: a pair must be so much more alike than others "
             "(AM-Softmax), as a cosine"},
    {.name = "vector-size",
     .value = "WIDTH",
     .type = FB_OPTION_INT32,
     .offset = AT(vector_size),
     .high = 4096,
     .automatic = true,
     .help = "of the contrastive vectors; 0 is none"},
    {.name = "vector-text-layers",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = AT(text_layers),
     .high = 48,
     .automatic = true,
     .help =
         "of the trunk that a text passes on its way to a vector; auto is half, the "
         "rest is left to bring text and image together"},
    {.name = "patches-from",
     .value = "LAYER",
     .type = FB_OPTION_INT32,
     .offset = AT(patches_from),
     .high = 48,
     .automatic = true,
     .help = "of the trunk, where patches join the text, which passes the layers "
             "before alone; 0 is the paper's; auto is 0, and with --alignment block "
             "--vector-text-layers"},
    {.name = "alignment-head",
     .value = "WHAT",
     .type = FB_OPTION_CHOICE,
     .choices = "auto,cls,product",
     .offset = AT(alignment_head),
     .help = "what alignment is read off: the row of [CLS], as in the paper, or the "
             "product of the means over words and over patches; auto is cls, and "
             "with --alignment block product"},
    {.name = "negatives",
     .value = "WHERE",
     .type = FB_OPTION_CHOICE,
     .choices = "auto,category,any,hard",
     .offset = AT(negatives),
     .help = "where mismatched products come from: the product's own category, "
             "anywhere, or those of the batch that the vectors find most alike"},
    {.name = "hard-negatives",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = AT(hard_negatives),
     .low = 1,
     .high = 31,
     .automatic = true,
     .help = "with --negatives hard: texts for each image, and images for each text"},
    {.name = "hard-items",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = AT(hard_items),
     .high = 65536,
     .automatic = true,
     .help = "with --negatives hard: products of a batch that pairs are made of, its "
             "first; 0 is all of them"},
    {.name = "hardness",
     .value = "NUMBER",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(hardness),
     .high = 1,
     .automatic = true,
     .help = "with --negatives hard: 0 draws any of the batch, 1 in proportion to the "
             "vectors' own probability"},
    {.name = "hard-warmup",
     .value = "FRACTION",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(hard_warmup),
     .high = 1,
     .automatic = true,
     .help = "of all steps, in which --hardness rises from 0"},
    {.name = "patch-keep",
     .value = "FRACTION",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(patch_keep),
     .high = 1,
     .automatic = true,
     .help =
         "with --negatives hard: of an image's patches, the share that a pair shows "
         "while training, at random"},
    {.name = "unmask-last",
     .value = "FRACTION",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(unmask_last),
     .high = 1,
     .automatic = true,
     .help = "with --patch-keep: of all steps, the last ones, whose pairs show all "
             "patches"},
    {.name = "alignment",
     .value = "HOW",
     .type = FB_OPTION_CHOICE,
     .choices = "auto,pairs,list,block",
     .offset = AT(alignment),
     .help = "pairs judges each pair alone, list picks the right one among the hard "
             "negatives, block among all of a block of items"},
    {.name = "soft-targets",
     .value = "SHARE",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(soft_targets),
     .high = 1,
     .automatic = true,
     .help = "with --alignment list or block: share of a list's target that is the "
             "vectors' own choice among it; the rest is the right one"},
    {.name = "group",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = AT(group),
     .high = 65536,
     .automatic = true,
     .help =
         "products of one category side by side in a batch of products; 0 mixes all"},
    {.name = "flip",
     .value = "FRACTION",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(flip),
     .high = 1,
     .automatic = true,
     .help = "of the images that are mirrored while training"},
    {.name = "shift",
     .value = "FRACTION",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(shift),
     .high = 0.5,
     .automatic = true,
     .help = "of a side, by which an image is moved at most while training"},
    {.name = "zoom",
     .value = "FRACTION",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(zoom),
     .high = 0.9,
     .automatic = true,
     .help = "of a side, by which an image is cropped at most while training"},
    {.name = "text-mask",
     .value = "FRACTION",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(text_mask),
     .high = 0.9,
     .automatic = true,
     .help = "of the words hidden while training, beside those that mlm guesses"},
    {.name = "rare-mask",
     .value = "N",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(rare_mask),
     .high = 1e6,
     .automatic = true,
     .help = "hide a word of n titles N times in N + n while training, where that is "
             "more, half of these times behind other words"},
    FB_OPTION_FLAG_ROW(train_arguments, "masked-on-mismatched",
                       task.masked_on_mismatched,
                       "masked losses on mismatched pairs too"),
    {.name = "seed",
     .value = "N",
     .type = FB_OPTION_UINT64,
     .offset = AT(seed),
     .high = FB_OPTION_SEED_MAX,
     .help = "of all random numbers; the same seed makes the same run"},
    {.name = "checkpoint-every",
     .value = "STEPS",
     .type = FB_OPTION_INT64,
     .offset = AT(checkpoint_every),
     .high = INFINITY,
     .help = "between two checkpoints; 0 is once an epoch"},
    {.name = "validate-every",
     .value = "STEPS",
     .type = FB_OPTION_INT64,
     .offset = AT(validate_every),
     .high = INFINITY,
     .help = "between two validations; 0 is with each checkpoint"},
    {.name = "validate-pairs",
     .value = "PAIRS",
     .type = FB_OPTION_INT32,
     .offset = AT(validate_pairs),
     .high = INFINITY,
     .help = "matched pairs of the validation split to use, at most"},
    FB_OPTION_COMPUTE_ROWS(train_arguments, task.backend, task.dtype, task.threads),
    {.name = "loader-threads",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = AT(loader_threads),
     .high = 256,
     .help = "that decode and mask ahead of training"},
    FB_OPTION_FLAG_ROW(train_arguments, "json", json, "print the report as JSON"),
    FB_OPTION_FLAG_ROW(train_arguments, "quiet", task.quiet, "no progress on stderr"),
};

static void defaults(void *arguments)
{
    fb_train_options *task = &((train_arguments *)arguments)->task;
    fb_train_options_defaults(task);
    if (!task->catalog) /* a resumed run has its own */
        task->catalog = "";
}

static void print_json(const train_arguments *a, const fb_train_report *report)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "model", a->task.out);
    fb_json_key_int(&w, "steps", report->steps);
    fb_json_key_double(&w, "seconds", report->seconds);
    fb_json_key_double(&w, "wait_seconds", report->wait_seconds);
    fb_json_key_double(&w, "loss", report->loss);
    fb_json_key_double(&w, "mlm", report->mlm);
    fb_json_key_double(&w, "mpm", report->mpm);
    fb_json_key_double(&w, "tia", report->tia);
    fb_json_key_double(&w, "itc", report->itc);
    fb_json_key_double(&w, "selfie", report->selfie);
    fb_json_key_double(&w, "click", report->click);
    fb_json_key_double(&w, "qt", report->qt);
    fb_json_key_double(&w, "qi", report->qi);
    fb_json_key_double(&w, "best_val_accuracy", report->best_val_accuracy);
    fb_json_key_double(&w, "chance", report->chance > 0 ? report->chance : (double)NAN);
    fb_json_key_int(&w, "best_step", report->best_step);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static void fill_row(fb_table *table, const train_arguments *a,
                     const fb_train_report *report)
{
    fb_table_text(table, a->task.out);
    fb_table_int(table, report->steps);
    fb_table_number(table, report->seconds, 1);
    fb_table_number(table, report->wait_seconds, 1);
    fb_table_number(table, report->loss, 4);
    if (report->chance > 0) { /* selfie */
        fb_table_number(table, report->best_val_accuracy, 4);
        fb_table_number(table, report->chance, 4);
    } else {
        fb_table_number(table, report->mlm, 4);
        fb_table_number(table, report->mpm, 4);
        fb_table_number(table, report->tia, 4);
        if (report->click > 0) {
            fb_table_number(table, report->click, 4);
            fb_table_number(table, report->qt, 4);
            fb_table_number(table, report->qi, 4);
        } else {
            fb_table_number(table, report->itc, 4);
        }
        fb_table_number(table, report->best_val_accuracy, 4);
    }
    fb_table_int(table, report->best_step);
}

static fb_status run(fb_context *ctx, void *arguments)
{
    const train_arguments *a = arguments;
    fb_train_report report = {0};
    FB_TRY(fb_train(ctx, &a->task, &report));
    if (a->json) {
        print_json(a, &report);
        return FB_OK;
    }
    fb_table *table = fb_table_create(
        report.chance > 0
            ? "<model|>steps|>seconds|>waited|>loss|>best val pointing accuracy|>chance"
              "|>at step"
        : report.click > 0
            ? "<model|>steps|>seconds|>waited|>loss|>mlm|>mpm|>tia|>click|>qt|>qi"
              "|>best val accuracy|>at step"
            : "<model|>steps|>seconds|>waited|>loss|>mlm|>mpm|>tia|>itc"
              "|>best val accuracy|>at step");
    fill_row(table, a, &report);
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

const fb_verb fb_verb_train = {
    .name = "train",
    .summary = "train a model from a catalogue",
    .about =
        "Learns to match titles and images from a catalogue and writes a model folder. "
        "Told nothing else, it takes the best recipe found for a catalogue of that "
        "size, in stages (docs/recipes.md). In the folder: the best weights at its "
        "top, the last complete checkpoint in last/, one line "
        "a step in log.jsonl. Killed at any moment, the same command with --resume "
        "goes on where the last checkpoint stands.",
    .example = "fashionbert train --catalog shop --out model",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(train_arguments),
    .defaults = defaults,
    .run = run,
};
