/* inspect_html.c - the inspection as one page: numbers first, what is wrong, then
 * pictures of each category and of what repeats across splits. No script, no other
 * file; thumbnails are JPEGs of THUMB pixels a side within the page.
 */
#include "tasks/inspect.h"

#include "base/file.h"
#include "base/html.h"
#include "base/memory_stream.h"
#include "base/number_text.h"
#include "data/image/image_load.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { THUMB = 96, THUMB_QUALITY = 82, SHEET_CATEGORIES = 24, SHEET_ITEMS = 10 };

typedef struct html_page {
    FILE *out;
    const fb_catalogue *catalogue;
    const fb_inspection *in;
    fb_resizer *resizer;
} html_page;

static const char style[] =
    ":root{color-scheme:light dark;--line:#8884;--soft:#8881;--train:#4878a8;"
    "--val:#d8a848;--test:#b85858}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;"
    "padding:0 1em}"
    "h1{font-size:1.6em;margin-bottom:.2em}h2{font-size:1.2em;margin:2em 0 .5em}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.15em .8em;text-align:right;border-bottom:1px solid var(--line)}"
    "th{font-weight:600}th:first-child,td:first-child,td.text,th.text{text-align:left}"
    ".cards{display:flex;flex-wrap:wrap;gap:.8em;margin:1em 0}"
    ".card{background:var(--soft);border-radius:6px;padding:.5em 1em;min-width:5em}"
    ".card b{display:block;font-size:1.5em;font-weight:600;line-height:1.3}"
    ".bar{display:flex;height:.9em;min-width:1px}.bar i{display:block}"
    ".train{background:var(--train)}.val{background:var(--val)}"
    ".test{background:var(--test)}"
    ".key i{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 1em}"
    ".wide{width:22em}.none{color:#888}"
    ".row{display:flex;flex-wrap:wrap;gap:.5em;margin-bottom:1em}"
    "figure{margin:0;width:96px;font-size:11px;line-height:1.25}"
    "figure img{display:block;width:96px;height:96px;background:#fff;"
    "border:1px solid var(--line);border-radius:4px}"
    "figcaption{overflow:hidden;max-height:5em;overflow-wrap:anywhere}"
    ".pair{display:flex;gap:.5em;background:var(--soft);border-radius:6px;"
    "padding:.5em}img.sheet{max-width:100%}ul{padding-left:1.2em}code{overflow-wrap:"
    "anywhere}";

/* ---- small pieces -------------------------------------------------------------------
 */

static void put(const html_page *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put(const html_page *p, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fb_stream_print_list(p->out, format, arguments);
    va_end(arguments);
}

static void put_text(const html_page *p, const char *before, const char *text,
                     const char *behind)
{
    fputs(before, p->out);
    fb_html_text(p->out, text);
    fputs(behind, p->out);
}

static void put_count(const html_page *p, int64_t count)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)count);
    for (int i = 0; i < length; i++) {
        fputc(digits[i], p->out);
        if ((length - i) % 3 == 1 && i + 1 < length && digits[i] != '-')
            fputs("&#8239;", p->out); /* a narrow space between thousands */
    }
}

static void put_cell(const html_page *p, int64_t count)
{
    fputs("<td>", p->out);
    put_count(p, count);
}

static void put_number(const html_page *p, double value, int decimals)
{
    if (isfinite(value))
        put(p, "<td>%.*f", decimals, value);
    else
        fputs("<td class=none>-", p->out);
}

static void put_card(const html_page *p, const char *name, int64_t count)
{
    fputs("<div class=card><b>", p->out);
    put_count(p, count);
    put(p, "</b>%s</div>\n", name);
}

/* A thumbnail as an img element; what cannot be read is left out. */
static bool put_thumb(const html_page *p, const char *file_name, const char *title)
{
    uint8_t pixels[THUMB * THUMB * 3];
    fb_image thumb = {THUMB, THUMB, pixels};
    char path[4096], *bytes = NULL;
    size_t size = 0;
    if (fb_path_join(NULL, path, fb_catalogue_folder(p->catalogue), file_name) !=
            FB_OK ||
        fb_image_load(NULL, path, p->resizer, THUMB, FB_FIT_PAD, FB_FILTER_BICUBIC,
                      pixels) != FB_OK)
        return false;
    FILE *stream = fb_memory_open(&bytes, &size);
    bool made = stream && fb_image_encode_jpeg(NULL, stream, path, &thumb,
                                               THUMB_QUALITY, false) == FB_OK;
    made = fb_memory_close(stream, &bytes) && made;
    if (made) {
        put_text(p, "<img loading=lazy alt=\"", title, "\" src=\"");
        fb_html_data_uri(p->out, "image/jpeg", (const uint8_t *)bytes, size);
        fputs("\">", p->out);
    }
    free(bytes);
    return made;
}

static void put_figure(const html_page *p, const char *file_name, const char *title,
                       const char *note)
{
    put_text(p, "<figure title=\"", file_name, "\">");
    if (!put_thumb(p, file_name, title))
        fputs("<span class=none>not read</span>", p->out);
    fputs("<figcaption>", p->out);
    if (note[0])
        put_text(p, "<span class=none>", note, "</span><br>");
    put_text(p, "", title, "</figcaption></figure>\n");
}

/* ---- sections
 * ------------------------------------------------------------------------- */

static void put_head(const html_page *p)
{
    const fb_inspection *in = p->in;
    fputs("<!doctype html>\n<html lang=en><head><meta charset=utf-8>\n"
          "<meta name=viewport content=\"width=device-width\">\n",
          p->out);
    put_text(p, "<title>", fb_catalogue_folder(p->catalogue), "</title>\n<style>");
    fputs(style, p->out);
    put_text(p, "</style></head><body>\n<h1>", fb_catalogue_folder(p->catalogue),
             "</h1>\n<div class=cards>\n");
    put_card(p, "items", in->items);
    put_card(p, "train", in->split[0]);
    put_card(p, "val", in->split[1]);
    put_card(p, "test", in->split[2]);
    put_card(p, "products", in->products);
    put_card(p, "titles", in->titles);
    if (in->category_level[0])
        put_card(p, "categories", in->category_count);
    put_card(p, "images read", in->images_read);
    fputs("</div>\n", p->out);
}

static void put_finding(const html_page *p, int64_t count, const char *what)
{
    if (count == 0)
        return;
    fputs("<li><b>", p->out);
    put_count(p, count);
    put(p, "</b> %s</li>\n", what);
}

static void put_findings(const html_page *p)
{
    const fb_inspection *in = p->in;
    fputs("<h2>To look at</h2>\n<ul>\n", p->out);
    put_finding(p, in->images_broken, "images cannot be read");
    put_finding(p, in->products_across_splits,
                "items of val and test belong to a product of an earlier split");
    put_finding(p, in->duplicates_across_splits,
                "items of val and test have the very image file of an earlier split");
    put_finding(p, in->near_duplicates_across_splits,
                "items of val and test have an image that equals one of an earlier "
                "split, nearly or to the byte");
    put_finding(p, in->titles_across_splits,
                "items of val and test have a title of an earlier split");
    put_finding(p, in->duplicates, "images are the file of an earlier item");
    put_finding(p, in->flat_images,
                "images are blank or nearly so: only equal files are told apart there");
    put_finding(p, in->composed_items,
                "items have composed queries: no customer typed them");
    int64_t all = in->images_broken + in->products_across_splits +
                  in->near_duplicates_across_splits + in->titles_across_splits +
                  in->duplicates + in->flat_images + in->composed_items;
    if (all == 0)
        fputs("<li>Nothing: every image can be read, nothing repeats.</li>\n", p->out);
    fputs("</ul>\n", p->out);
    if (in->images_broken == 0)
        return;
    fputs("<ul>\n", p->out);
    for (int64_t i = 0; i < in->images_broken && i < FB_INSPECT_BROKEN; i++) {
        put(p, "<li>line %d: ", (int)in->broken[i].line);
        put_text(p, "<code>", in->broken[i].message, "</code></li>\n");
    }
    fputs("</ul>\n", p->out);
}

static void put_part(const html_page *p, const char *name, int64_t items, int64_t whole)
{
    put(p, "<i class=%s style=\"width:%.2f%%\"></i>", name,
        100.0 * (double)items / (double)(whole > 0 ? whole : 1));
}

static void put_categories(const html_page *p)
{
    const fb_inspection *in = p->in;
    if (!in->category_level[0])
        return;
    put_text(p, "<h2>Categories (field ", in->category_level, ")</h2>\n");
    fputs(
        "<p class=key><i class=train></i>train<i class=val></i>val<i class=test></i>"
        "test</p>\n<table><tr><th>name<th>items<th>train<th>val<th>test<th class=wide>"
        "</tr>\n",
        p->out);
    for (int64_t i = 0; i < in->category_count; i++) {
        const fb_inspect_category *c = &in->categories[i];
        put_text(p, "<tr><td>", c->name, "");
        put_cell(p, c->items);
        for (int s = 0; s < 3; s++)
            put_cell(p, c->split[s]);
        fputs("<td class=wide><div class=bar>", p->out);
        put_part(p, "train", c->split[0], in->categories[0].items);
        put_part(p, "val", c->split[1], in->categories[0].items);
        put_part(p, "test", c->split[2], in->categories[0].items);
        fputs("</div></tr>\n", p->out);
    }
    fputs("</table>\n", p->out);
}

static void put_fields(const html_page *p)
{
    const fb_inspection *in = p->in;
    fputs(
        "<h2>Fields</h2>\n<table><tr><th>name<th>present<th>missing<th>distinct values"
        "</tr>\n",
        p->out);
    for (int64_t i = 0; i < in->field_count; i++) {
        put_text(p, "<tr><td>", in->fields[i].name, "");
        put_cell(p, in->fields[i].present);
        put_cell(p, in->items - in->fields[i].present);
        put_cell(p, in->fields[i].distinct);
        fputs("</tr>\n", p->out);
    }
    fputs("</table>\n", p->out);
}

static void put_spread(const html_page *p, const char *name, const fb_spread *s)
{
    put(p, "<tr><td>%s", name);
    put_number(p, s->min, 0);
    put_number(p, s->median, 0);
    put_number(p, s->mean, 1);
    put_number(p, s->p95, 0);
    put_number(p, s->max, 0);
    fputs("</tr>\n", p->out);
}

static void put_words(const html_page *p, const char *name, const fb_inspect_words *w)
{
    if (w->titles == 0)
        return;
    put(p, "<tr><td>%s", name);
    put_cell(p, w->words);
    put_number(p, 100.0 * (double)w->seen / (double)w->words, 1);
    put_cell(p, w->distinct);
    put_number(p, 100.0 * (double)w->distinct_seen / (double)w->distinct, 1);
    put_cell(p, w->titles);
    put_number(p, 100.0 * (double)w->titles_seen / (double)w->titles, 1);
    fputs("</tr>\n", p->out);
}

static void put_lengths(const html_page *p)
{
    const fb_inspection *in = p->in;
    fputs("<h2>Titles and images</h2>\n<table><tr><th>length<th>min<th>median<th>mean"
          "<th>95 %<th>max</tr>\n",
          p->out);
    put_spread(p, "title, words", &in->title_words);
    put_spread(p, "title, characters", &in->title_characters);
    put_spread(p, "image width, pixels", &in->width);
    put_spread(p, "image height, pixels", &in->height);
    fputs("</table>\n<p>The most common image sizes: ", p->out);
    for (int32_t i = 0; i < in->size_count; i++) {
        put(p, "%s%d&#8239;&times;&#8239;%d (", i ? ", " : "", (int)in->sizes[i].width,
            (int)in->sizes[i].height);
        put_count(p, in->sizes[i].items);
        fputs(")", p->out);
    }
    put(p, ".</p>\n");
    if (in->val_words.titles + in->test_words.titles == 0)
        return;
    fputs("<table><tr><th>split<th>title words<th>seen in training, %<th>distinct"
          "<th>of them seen, %<th>titles<th>wholly seen, %</tr>\n",
          p->out);
    put_words(p, "val", &in->val_words);
    put_words(p, "test", &in->test_words);
    fputs("</table>\n", p->out);
}

static void put_ranking(const html_page *p, const char *name, const char *direction,
                        const fb_ranking *r)
{
    put(p, "<tr><td>%s<td class=text>%s", name, direction);
    put_cell(p, r->queries);
    put_number(p, r->candidates_mean, 1);
    put_number(p, r->r1, 3);
    put_number(p, r->chance_r1, 3);
    put_number(p, r->r5, 3);
    put_number(p, r->r10, 3);
    put_number(p, r->mrr, 3);
    fputs("</tr>\n", p->out);
}

static void put_floor(const html_page *p)
{
    if (!p->in->floor || !p->in->floor_cosine)
        return;
    fputs("<h2>The linear floor</h2>\n<p>What a linear baseline, ridge regression from "
          "colours "
          "and edges to the words of titles, reaches on the held-out items. A trained "
          "model must beat it clearly.</p>\n"
          "<table><tr><th>score<th class=text>direction<th>queries<th>candidates<th>R@1"
          "<th>chance R@1<th>R@5<th>R@10<th>MRR</tr>\n",
          p->out);
    const fb_evaluation *const floors[] = {p->in->floor, p->in->floor_cosine};
    for (int i = 0; i < 2; i++) {
        put_ranking(p, floors[i]->score, "image to text", &floors[i]->image_to_text);
        put_ranking(p, floors[i]->score, "text to image", &floors[i]->text_to_image);
    }
    fputs("</table>\n", p->out);
}

static void put_share(const html_page *p, const char *what, double value, int decimals)
{
    put(p, "<tr><td>%s", what);
    put_number(p, value, decimals);
    fputs("</tr>\n", p->out);
}

static void put_regions(const html_page *p)
{
    const fb_inspect_regions *r = p->in->regions;
    if (!r)
        return;
    put_text(p, "<h2>Regions</h2>\n<p>Of ", r->from, ", ");
    put_count(p, r->regions);
    fputs(" in ", p->out);
    put_count(p, r->images);
    put(p,
        " images. Patches are %d an image, never overlap and cover all of it.</p>\n"
        "<table>\n",
        (int)r->patches);
    put_share(p, "regions an image", r->per_image.mean, 1);
    put_share(p, "standard deviation", r->per_image_sd, 1);
    put_share(p, "the same in MS-COCO (article)", FB_ARTICLE_REGIONS_COCO, 1);
    put_share(p, "in e-commerce photos (article)", FB_ARTICLE_REGIONS_SHOP, 1);
    put_share(p, "mean IoU of two regions of an image", r->overlap, 3);
    put_share(p, "share of near-duplicates, IoU above .7", r->near_duplicates, 3);
    if (isfinite(r->body))
        put_share(p, "share on head, hair or hands, by class", r->body, 3);
    put_share(p, "share of the product in some region", r->covered, 3);
    put_share(p, "share of a region that is product", r->product, 3);
    put_share(p, "share of patches with some product", r->patches_with_product, 3);
    put_share(p, "share of the image that is product", r->product_of_image, 3);
    fputs("</table>\n", p->out);
    if (!r->sheet)
        return;
    fputs("<p><img class=sheet alt=\"photos with regions beside patches\" src=\"",
          p->out);
    fb_html_data_uri(p->out, "image/png", r->sheet, r->sheet_bytes);
    fputs("\"></p>\n", p->out);
}

static void put_pairs(const html_page *p)
{
    const fb_inspection *in = p->in;
    if (in->pair_count == 0)
        return;
    fputs("<h2>The same image, nearly, in two splits</h2>\n<p>", p->out);
    if (in->pair_count < in->near_duplicates_across_splits) {
        put(p, "The first %d of ", (int)in->pair_count);
        put_count(p, in->near_duplicates_across_splits);
        put(p, ". ");
    }
    fputs("Each with an item of an earlier split.</p>\n<div class=row>\n", p->out);
    for (int32_t i = 0; i < in->pair_count; i++) {
        const fb_inspect_pair *a = &in->pairs[i];
        fputs("<div class=pair>", p->out);
        put_figure(p, a->file_name, a->title, a->split);
        put_figure(p, a->earlier_file_name, a->earlier_title, a->earlier_split);
        fputs("</div>\n", p->out);
    }
    fputs("</div>\n", p->out);
}

/* SHEET_ITEMS of the category, evenly spread over the file. */
static void put_sheet_row(const html_page *p, const fb_inspect_category *category,
                          int32_t key)
{
    int64_t step = category->items > SHEET_ITEMS ? category->items / SHEET_ITEMS : 1;
    int64_t seen = 0, shown = 0;
    put_text(p, "<h3>", category->name, "</h3>\n<div class=row>\n");
    for (int32_t i = 0; i < fb_catalogue_count(p->catalogue) && shown < SHEET_ITEMS;
         i++) {
        const fb_catalogue_item *item = fb_catalogue_get(p->catalogue, i);
        if (key >= 0 && item->category[0] != key)
            continue;
        if (seen++ % step == 0) {
            put_figure(p, item->file_name, item->title, "");
            shown++;
        }
    }
    fputs("</div>\n", p->out);
}

static int32_t find_category(const html_page *p, const char *name)
{
    for (int32_t key = 0; key < fb_catalogue_category_count(p->catalogue, 0); key++) {
        char cut[sizeof((fb_inspect_category *)NULL)->name];
        fb_text_copy(cut, sizeof cut, fb_catalogue_category_name(p->catalogue, 0, key));
        if (strcmp(cut, name) == 0)
            return key;
    }
    return -1;
}

static void put_sheet(const html_page *p)
{
    const fb_inspection *in = p->in;
    fputs("<h2>Contact sheet</h2>\n", p->out);
    if (!in->category_level[0]) {
        fb_inspect_category all = {.name = "All items", .items = in->items};
        put_sheet_row(p, &all, -1);
        return;
    }
    for (int64_t i = 0; i < in->category_count && i < SHEET_CATEGORIES; i++) {
        int32_t key = find_category(p, in->categories[i].name);
        if (key >= 0)
            put_sheet_row(p, &in->categories[i], key);
    }
}

fb_status fb_inspect_html(fb_context *ctx, const char *path,
                          const fb_catalogue *catalogue,
                          const fb_inspection *inspection)
{
    fb_replace file;
    html_page p = {NULL, catalogue, inspection, fb_resizer_create()};
    if (!p.resizer)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %s", path);
    fb_status status = fb_replace_open(ctx, path, &file);
    if (status == FB_OK) {
        p.out = file.stream;
        put_head(&p);
        put_findings(&p);
        put_floor(&p);
        put_regions(&p);
        put_pairs(&p);
        put_categories(&p);
        put_fields(&p);
        put_lengths(&p);
        put_sheet(&p);
        fputs("</body></html>\n", p.out);
        status = fb_replace_commit(ctx, &file);
    }
    fb_resizer_free(p.resizer);
    return status;
}
