/* cli_inspect.c - `fashionbert inspect`: what a catalogue holds, what is wrong with it,
 * and what score a model must beat on it.
 */
#include "base/json.h"
#include "cli/ranking.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include <math.h>
#include <string.h>

typedef struct inspect_arguments {
    fb_inspect_options task;
#define FB_COMMAND      FB_OPTION_MEMBER
#define FB_COMMAND_LIST FB_LIST_MEMBER
#include "fashionbert/inspect.def"
} inspect_arguments;

#define FB_OPTION             FB_OPTION_ROW
#define FB_COMMAND            FB_COMMAND_ROW
#define FB_COMMAND_LIST       FB_COMMAND_LIST_ROW
#define FB_OPTION_AT(member)  offsetof(inspect_arguments, task.member)
#define FB_COMMAND_AT(member) offsetof(inspect_arguments, member)
static const fb_option options[] = {
#include "fashionbert/inspect.def"
};

/* ---- JSON ---------------------------------------------------------------------------
 */

static void write_spread(fb_json_writer *w, const char *key, const fb_spread *s)
{
    fb_json_key(w, key);
    fb_json_open_object(w);
    fb_json_key_double(w, "min", s->min);
    fb_json_key_double(w, "median", s->median);
    fb_json_key_double(w, "mean", s->mean);
    fb_json_key_double(w, "p95", s->p95);
    fb_json_key_double(w, "max", s->max);
    fb_json_close_object(w);
}

static void write_categories(fb_json_writer *w, const fb_inspection *in)
{
    fb_json_key(w, "categories");
    fb_json_open_array(w);
    for (int64_t i = 0; i < in->category_count; i++) {
        const fb_inspect_category *c = &in->categories[i];
        fb_json_open_object(w);
        fb_json_key_string(w, "name", c->name);
        fb_json_key_int(w, "items", c->items);
        fb_json_key_int(w, "train", c->split[0]);
        fb_json_key_int(w, "val", c->split[1]);
        fb_json_key_int(w, "test", c->split[2]);
        fb_json_close_object(w);
    }
    fb_json_close_array(w);
}

static void write_fields(fb_json_writer *w, const fb_inspection *in)
{
    fb_json_key(w, "fields");
    fb_json_open_array(w);
    for (int64_t i = 0; i < in->field_count; i++) {
        const fb_inspect_field *f = &in->fields[i];
        fb_json_open_object(w);
        fb_json_key_string(w, "name", f->name);
        fb_json_key_int(w, "present", f->present);
        fb_json_key_int(w, "missing", in->items - f->present);
        fb_json_key_int(w, "distinct", f->distinct);
        fb_json_close_object(w);
    }
    fb_json_close_array(w);
}

static void write_images(fb_json_writer *w, const fb_inspection *in)
{
    fb_json_key(w, "images");
    fb_json_open_object(w);
    fb_json_key_int(w, "read", in->images_read);
    fb_json_key_int(w, "broken", in->images_broken);
    fb_json_key_int(w, "bytes", in->image_bytes);
    fb_json_key_int(w, "jpeg", in->jpeg);
    fb_json_key_int(w, "png", in->png);
    fb_json_key_int(w, "webp", in->webp);
    fb_json_key_int(w, "flat", in->flat_images);
    write_spread(w, "width", &in->width);
    write_spread(w, "height", &in->height);
    fb_json_key_int(w, "distinct_sizes", in->distinct_sizes);
    fb_json_key(w, "sizes");
    fb_json_open_array(w);
    for (int32_t i = 0; i < in->size_count; i++) {
        fb_json_open_object(w);
        fb_json_key_int(w, "width", in->sizes[i].width);
        fb_json_key_int(w, "height", in->sizes[i].height);
        fb_json_key_int(w, "items", in->sizes[i].items);
        fb_json_close_object(w);
    }
    fb_json_close_array(w);
    fb_json_close_object(w);
    fb_json_key(w, "broken_images");
    fb_json_open_array(w);
    for (int64_t i = 0; i < in->images_broken && i < FB_INSPECT_BROKEN; i++) {
        fb_json_open_object(w);
        fb_json_key_int(w, "line", in->broken[i].line);
        fb_json_key_string(w, "message", in->broken[i].message);
        fb_json_close_object(w);
    }
    fb_json_close_array(w);
}

static void write_pairs(fb_json_writer *w, const fb_inspection *in)
{
    fb_json_key(w, "near_pairs");
    fb_json_open_array(w);
    for (int32_t i = 0; i < in->pair_count; i++) {
        const fb_inspect_pair *p = &in->pairs[i];
        fb_json_open_object(w);
        fb_json_key_string(w, "file_name", p->file_name);
        fb_json_key_string(w, "split", p->split);
        fb_json_key_string(w, "earlier_file_name", p->earlier_file_name);
        fb_json_key_string(w, "earlier_split", p->earlier_split);
        fb_json_key_bool(w, "same_bytes", p->same_bytes);
        fb_json_close_object(w);
    }
    fb_json_close_array(w);
}

static void write_words(fb_json_writer *w, const char *key, const fb_inspect_words *s)
{
    fb_json_key(w, key);
    fb_json_open_object(w);
    fb_json_key_int(w, "words", s->words);
    fb_json_key_int(w, "seen", s->seen);
    fb_json_key_double(w, "seen_share",
                       s->words ? (double)s->seen / (double)s->words : NAN);
    fb_json_key_int(w, "distinct", s->distinct);
    fb_json_key_int(w, "distinct_seen", s->distinct_seen);
    fb_json_key_int(w, "titles", s->titles);
    fb_json_key_int(w, "titles_seen", s->titles_seen);
    fb_json_close_object(w);
}

static void write_floor_score(fb_json_writer *w, const fb_evaluation *e)
{
    fb_ranking_write(w, "image_to_text", &e->image_to_text);
    fb_ranking_write(w, "text_to_image", &e->text_to_image);
    fb_json_key_double(w, "sum_r", e->sum_r);
    fb_json_key_double(w, "auc", e->auc);
}

static void write_floor(fb_json_writer *w, const inspect_arguments *a,
                        const fb_inspection *in)
{
    const fb_inspect_options *r = &a->task;
    bool sampled = strcmp(r->protocol, "sampled") == 0;
    fb_json_key(w, "floor");
    fb_json_open_object(w);
    fb_json_key_string(w, "protocol", r->protocol);
    fb_json_key_string(w, "negatives", sampled ? r->negatives : "all");
    fb_json_key_int(w, "seed", (int64_t)r->seed);
    fb_json_key_int(w, "draws", sampled ? r->draws : 1);
    fb_json_key_int(w, "different_draws", in->floor->draws);
    fb_json_key_string(w, "split", r->split);
    fb_json_key_int(w, "items", in->floor->items);
    fb_json_key_int(w, "train_items", in->floor_train_items);
    fb_json_key_int(w, "features", in->floor_features);
    fb_json_key_int(w, "words", in->floor_words);
    fb_json_key_double(w, "ridge", in->floor_ridge);
    write_floor_score(w, in->floor);
    fb_json_key(w, "cosine");
    fb_json_open_object(w);
    write_floor_score(w, in->floor_cosine);
    fb_json_close_object(w);
    fb_json_close_object(w);
}

static void write_regions(fb_json_writer *w, const fb_inspect_regions *r)
{
    fb_json_key(w, "regions");
    fb_json_open_object(w);
    fb_json_key_string(w, "from", r->from);
    fb_json_key_int(w, "images", r->images);
    fb_json_key_int(w, "without", r->without);
    fb_json_key_int(w, "unread", r->unread);
    fb_json_key_int(w, "regions", r->regions);
    write_spread(w, "per_image", &r->per_image);
    fb_json_key_double(w, "per_image_sd", r->per_image_sd);
    fb_json_key_int(w, "whole_image", r->whole);
    fb_json_key_double(w, "overlap", r->overlap);
    fb_json_key_double(w, "near_duplicates", r->near_duplicates);
    fb_json_key_double(w, "area", r->area);
    fb_json_key_double(w, "head_hair_hands", r->body);
    fb_json_key_int(w, "plain_images", r->plain);
    fb_json_key_double(w, "product_covered", r->covered);
    fb_json_key_double(w, "product_share", r->product);
    fb_json_key_double(w, "product_of_image", r->product_of_image);
    fb_json_key_int(w, "patches", r->patches);
    fb_json_key_double(w, "patches_with_product", r->patches_with_product);
    fb_json_key(w, "article");
    fb_json_open_object(w);
    fb_json_key_double(w, "ms_coco", FB_ARTICLE_REGIONS_COCO);
    fb_json_key_double(w, "e_commerce", FB_ARTICLE_REGIONS_SHOP);
    fb_json_close_object(w);
    fb_json_close_object(w);
}

static void write_repeats(fb_json_writer *w, const fb_inspection *in)
{
    fb_json_key_int(w, "duplicates", in->duplicates);
    fb_json_key_int(w, "near_duplicates", in->near_duplicates);
    fb_json_key_int(w, "duplicate_titles", in->duplicate_titles);
    fb_json_key_int(w, "duplicates_across_splits", in->duplicates_across_splits);
    fb_json_key_int(w, "near_duplicates_across_splits",
                    in->near_duplicates_across_splits);
    fb_json_key_int(w, "titles_across_splits", in->titles_across_splits);
    fb_json_key_int(w, "products_across_splits", in->products_across_splits);
    write_pairs(w, in);
}

static void print_json(const inspect_arguments *a, const fb_inspection *in)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "catalog", a->task.catalog);
    fb_json_key_int(&w, "items", in->items);
    fb_json_key_int(&w, "products", in->products);
    fb_json_key_int(&w, "titles", in->titles);
    fb_json_key(&w, "splits");
    fb_json_open_object(&w);
    fb_json_key_int(&w, "train", in->split[0]);
    fb_json_key_int(&w, "val", in->split[1]);
    fb_json_key_int(&w, "test", in->split[2]);
    fb_json_close_object(&w);
    write_repeats(&w, in);
    fb_json_key(&w, "words");
    fb_json_open_object(&w);
    fb_json_key_int(&w, "train", in->train_words);
    write_words(&w, "val", &in->val_words);
    write_words(&w, "test", &in->test_words);
    fb_json_close_object(&w);
    write_spread(&w, "title_words", &in->title_words);
    write_spread(&w, "title_characters", &in->title_characters);
    fb_json_key(&w, "queries");
    fb_json_open_object(&w);
    fb_json_key_int(&w, "items", in->query_items);
    fb_json_key_int(&w, "queries", in->queries);
    fb_json_key_int(&w, "composed_items", in->composed_items);
    fb_json_close_object(&w);
    write_images(&w, in);
    write_fields(&w, in);
    fb_json_key_string(&w, "category_level", in->category_level);
    write_categories(&w, in);
    if (in->floor)
        write_floor(&w, a, in);
    if (in->regions)
        write_regions(&w, in->regions);
    fb_json_key_double(&w, "seconds", in->seconds);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

/* ---- tables
 * --------------------------------------------------------------------------- */

static fb_status print_first(fb_context *ctx, fb_table *table)
{
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

/* An empty line and the table, which is freed. */
static fb_status print_next(fb_context *ctx, fb_table *table)
{
    fputc('\n', stdout);
    return print_first(ctx, table);
}

static fb_status print_counts(fb_context *ctx, const fb_inspection *in)
{
    fb_table *t =
        fb_table_create(">items|>train|>val|>test|>products|>titles|>categories");
    fb_table_int(t, in->items);
    for (int i = 0; i < 3; i++)
        fb_table_int(t, in->split[i]);
    fb_table_int(t, in->products);
    fb_table_int(t, in->titles);
    fb_table_int(t, in->category_level[0] ? in->category_count : 0);
    return print_first(ctx, t);
}

static void add_spread(fb_table *t, const char *name, const fb_spread *s)
{
    fb_table_text(t, name);
    fb_table_number(t, s->min, 0);
    fb_table_number(t, s->median, 0);
    fb_table_number(t, s->mean, 1);
    fb_table_number(t, s->p95, 0);
    fb_table_number(t, s->max, 0);
}

static fb_status print_spreads(fb_context *ctx, const fb_inspection *in)
{
    fb_table *t = fb_table_create("<length|>min|>median|>mean|>95 %|>max");
    add_spread(t, "title, words", &in->title_words);
    add_spread(t, "title, characters", &in->title_characters);
    add_spread(t, "image width, pixels", &in->width);
    add_spread(t, "image height, pixels", &in->height);
    return print_next(ctx, t);
}

static fb_status print_images(fb_context *ctx, const fb_inspection *in)
{
    fb_table *t = fb_table_create(
        ">images read|>broken|>JPEG|>PNG|>WebP|>MB|>sizes|<most common size|>share");
    fb_table_int(t, in->images_read);
    fb_table_int(t, in->images_broken);
    fb_table_int(t, in->jpeg);
    fb_table_int(t, in->png);
    fb_table_int(t, in->webp);
    fb_table_number(t, (double)in->image_bytes / 1e6, 1);
    fb_table_int(t, in->distinct_sizes);
    char size[32] = "-";
    if (in->size_count > 0)
        snprintf(size, sizeof size, "%d x %d", (int)in->sizes[0].width,
                 (int)in->sizes[0].height);
    fb_table_text(t, size);
    fb_table_number(t, (double)in->sizes[0].items / (double)in->images_read, 3);
    FB_TRY(print_next(ctx, t));
    if (in->images_broken == 0)
        return FB_OK;
    t = fb_table_create(">line|<image that cannot be read");
    for (int64_t i = 0; i < in->images_broken && i < FB_INSPECT_BROKEN; i++) {
        fb_table_int(t, in->broken[i].line);
        fb_table_text(t, in->broken[i].message);
    }
    if (in->images_broken > FB_INSPECT_BROKEN) {
        char more[64];
        snprintf(more, sizeof more, "and %lld more",
                 (long long)(in->images_broken - FB_INSPECT_BROKEN));
        fb_table_text(t, "");
        fb_table_text(t, more);
    }
    return print_next(ctx, t);
}

static void add_repeat(fb_table *t, const char *name, int64_t items, int64_t across)
{
    fb_table_text(t, name);
    fb_table_int(t, items);
    fb_table_int(t, across);
}

static fb_status print_repeats(fb_context *ctx, const fb_inspection *in)
{
    fb_table *t = fb_table_create("<what repeats|>items|>across splits");
    add_repeat(t, "product of an earlier item", in->items - in->products,
               in->products_across_splits);
    add_repeat(t, "title of an earlier item", in->duplicate_titles,
               in->titles_across_splits);
    add_repeat(t, "image of an earlier item, to the byte", in->duplicates,
               in->duplicates_across_splits);
    add_repeat(t, "image, nearly", in->near_duplicates,
               in->near_duplicates_across_splits);
    return print_next(ctx, t);
}

static void add_words(fb_table *t, const char *name, const fb_inspect_words *w)
{
    if (w->titles == 0)
        return;
    fb_table_text(t, name);
    fb_table_int(t, w->words);
    fb_table_number(t, (double)w->seen / (double)w->words, 3);
    fb_table_int(t, w->distinct);
    fb_table_number(t, (double)w->distinct_seen / (double)w->distinct, 3);
    fb_table_int(t, w->titles);
    fb_table_number(t, (double)w->titles_seen / (double)w->titles, 3);
}

static fb_status print_words(fb_context *ctx, const fb_inspection *in)
{
    if (in->val_words.titles + in->test_words.titles == 0)
        return FB_OK;
    fb_table *t = fb_table_create("<split|>title words|>seen in training|>distinct|"
                                  ">of them seen|>titles|>wholly seen");
    add_words(t, "val", &in->val_words);
    add_words(t, "test", &in->test_words);
    return print_next(ctx, t);
}

static fb_status print_categories(fb_context *ctx, const inspect_arguments *a,
                                  const fb_inspection *in)
{
    if (!in->category_level[0])
        return FB_OK;
    int64_t shown = in->category_count < a->shown ? in->category_count : a->shown;
    int64_t rest[4] = {0};
    char heads[96], more[64];
    snprintf(heads, sizeof heads, "<%s|>items|>train|>val|>test", in->category_level);
    fb_table *t = fb_table_create(heads);
    for (int64_t i = 0; i < in->category_count; i++) {
        const fb_inspect_category *c = &in->categories[i];
        if (i < shown) {
            fb_table_text(t, c->name);
            fb_table_int(t, c->items);
        }
        rest[0] += i >= shown ? c->items : 0;
        for (int s = 0; s < 3; s++) {
            if (i < shown)
                fb_table_int(t, c->split[s]);
            rest[s + 1] += i >= shown ? c->split[s] : 0;
        }
    }
    if (shown < in->category_count) {
        snprintf(more, sizeof more, "(%lld more)",
                 (long long)(in->category_count - shown));
        fb_table_text(t, more);
        for (int s = 0; s < 4; s++)
            fb_table_int(t, rest[s]);
    }
    return print_next(ctx, t);
}

static fb_status print_fields(fb_context *ctx, const fb_inspection *in)
{
    fb_table *t = fb_table_create("<field|>present|>missing|>distinct values");
    for (int64_t i = 0; i < in->field_count; i++) {
        fb_table_text(t, in->fields[i].name);
        fb_table_int(t, in->fields[i].present);
        fb_table_int(t, in->items - in->fields[i].present);
        fb_table_int(t, in->fields[i].distinct);
    }
    FB_TRY(print_next(ctx, t));
    if (in->queries == 0)
        return FB_OK;
    t = fb_table_create(">queries|>items with some|>of them composed");
    fb_table_int(t, in->queries);
    fb_table_int(t, in->query_items);
    fb_table_int(t, in->composed_items);
    return print_next(ctx, t);
}

static fb_status print_floor(fb_context *ctx, const fb_inspection *in)
{
    fb_table *t = fb_table_create("<linear floor|<direction|" FB_RANKING_HEADS);
    const fb_evaluation *const floors[] = {in->floor, in->floor_cosine};
    for (int i = 0; i < 2; i++) {
        fb_table_text(t, i ? "by cosine" : "by product");
        fb_table_text(t, "image to text");
        fb_ranking_add(t, &floors[i]->image_to_text);
        fb_table_text(t, i ? "by cosine" : "by product");
        fb_table_text(t, "text to image");
        fb_ranking_add(t, &floors[i]->text_to_image);
    }
    return print_next(ctx, t);
}

static void add_article(fb_table *t, const char *where, double regions)
{
    fb_table_text(t, where);
    fb_table_text(t, "-");
    fb_table_number(t, regions, 1);
    for (int i = 0; i < 7; i++)
        fb_table_number(t, NAN, 0);
}

/* Patches by what they are: a grid; their columns need no counting. */
static fb_status print_regions(fb_context *ctx, const fb_inspect_regions *r)
{
    fb_table *t = fb_table_create("<regions of|>images|>an image|>sd|>most|>mean IoU|>"
                                  "near dup.|>head, hair, hands|>product covered|>"
                                  "of it product");
    fb_table_text(t, r->from);
    fb_table_int(t, r->images);
    fb_table_number(t, r->per_image.mean, 1);
    fb_table_number(t, r->per_image_sd, 1);
    fb_table_number(t, r->per_image.max, 0);
    fb_table_number(t, r->overlap, 3);
    fb_table_number(t, r->near_duplicates, 3);
    fb_table_number(t, r->body, 3);
    fb_table_number(t, r->covered, 3);
    fb_table_number(t, r->product, 3);
    fb_table_text(t, "patches");
    fb_table_int(t, r->images);
    fb_table_number(t, r->patches, 1);
    fb_table_number(t, 0, 1);
    fb_table_number(t, r->patches, 0);
    fb_table_number(t, 0, 3);
    fb_table_number(t, 0, 3);
    fb_table_number(t, NAN, 3);
    fb_table_number(t, r->plain > 0 ? 1 : NAN, 3);
    fb_table_number(t, r->product_of_image, 3);
    add_article(t, "MS-COCO (article)", FB_ARTICLE_REGIONS_COCO);
    add_article(t, "e-commerce (article)", FB_ARTICLE_REGIONS_SHOP);
    return print_next(ctx, t);
}

static fb_status print_tables(fb_context *ctx, const inspect_arguments *a,
                              const fb_inspection *in)
{
    FB_TRY(print_counts(ctx, in));
    FB_TRY(print_categories(ctx, a, in));
    FB_TRY(print_fields(ctx, in));
    FB_TRY(print_spreads(ctx, in));
    FB_TRY(print_images(ctx, in));
    FB_TRY(print_repeats(ctx, in));
    FB_TRY(print_words(ctx, in));
    if (in->floor) {
        FB_TRY(print_floor(ctx, in));
        if (strcmp(a->task.protocol, "sampled") == 0)
            fb_draws_say(in->floor, a->task.draws);
    }
    if (in->regions)
        FB_TRY(print_regions(ctx, in->regions));
    return FB_OK;
}

static fb_status run(fb_context *ctx, void *arguments)
{
    inspect_arguments *a = arguments;
    fb_inspection *inspection = NULL;
    if (a->catalog_count != 1)
        return fb_fail(ctx, FB_E_USAGE, "inspect looks at one catalogue, not %d",
                       (int)a->catalog_count);
    a->task.catalog = a->catalogs[0];
    fb_status status = fb_inspect(ctx, &a->task, &inspection);
    if (status == FB_OK && a->json)
        print_json(a, inspection);
    else if (status == FB_OK)
        status = print_tables(ctx, a, inspection);
    fb_inspection_free(inspection);
    return status;
}

const fb_verb fb_verb_inspect = {
    .name = "inspect",
    .summary = "show what a catalogue holds, and what is wrong with it",
    .about =
        "Reads every row and decodes every image of a catalogue folder, and prints its "
        "splits, categories, fields, titles and image sizes, the images that cannot be "
        "read, and what repeats: products, titles and images, above all those of val "
        "and test that training has seen. With --floor it also ranks the held-out "
        "products by a linear baseline on colours and edges, with evaluate's protocol: "
        "a model that does not clearly beat it has learnt little.",
    .example = "fashionbert inspect shop --floor --html shop.html",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(inspect_arguments),
    .run = run,
};
