/* region_names.c - see region_names.h: one table of strings for each kind of name. */
#include "data/regions/region_names.h"
#include "base/intern.h"

#include <stdlib.h>
#include <string.h>

enum { FILES, STEMS, PRODUCTS, KINDS };

/* Strings of one kind, and the image that each means: an item, or AMBIGUOUS. */
typedef struct kind {
    fb_intern *strings;
    int32_t *item;
} kind;

struct fb_region_names {
    kind kinds[KINDS];
    int32_t *image; /* of each item: the first item of its file_name */
    bool *marked;   /* [items], of images */
    int32_t items;
};

/* The file's name without folder and ending, into out [size]. */
static void take_stem(const char *file_name, char *out, size_t size)
{
    const char *slash = strrchr(file_name, '/');
    const char *name = slash ? slash + 1 : file_name;
    const char *dot = strrchr(name, '.');
    size_t length = dot && dot != name ? (size_t)(dot - name) : strlen(name);
    if (length >= size)
        length = size - 1;
    memcpy(out, name, length);
    out[length] = 0;
}

/* Whether there is memory. */
static bool add(kind *k, const char *text, int32_t image)
{
    int32_t before = fb_intern_count(k->strings);
    int32_t number = fb_intern_add(k->strings, text);
    if (number < 0)
        return false;
    if (number == before)
        k->item[number] = image;
    else if (k->item[number] != image)
        k->item[number] = FB_REGION_NAME_AMBIGUOUS;
    return true;
}

static bool fill(fb_region_names *n, const fb_catalogue *catalogue)
{
    for (int32_t i = 0; i < n->items; i++) {
        const fb_catalogue_item *item = fb_catalogue_get(catalogue, i);
        char stem[4096];
        int32_t known = fb_intern_find(n->kinds[FILES].strings, item->file_name);
        n->image[i] = known < 0 ? i : n->kinds[FILES].item[known];
        take_stem(item->file_name, stem, sizeof stem);
        if (!add(&n->kinds[FILES], item->file_name, n->image[i]) ||
            !add(&n->kinds[STEMS], stem, n->image[i]) ||
            !add(&n->kinds[PRODUCTS], item->product_id, n->image[i]))
            return false;
    }
    return true;
}

fb_status fb_region_names_create(fb_context *ctx, fb_region_names **names,
                                 const fb_catalogue *catalogue)
{
    size_t items = (size_t)fb_catalogue_count(catalogue);
    fb_region_names *n = calloc(1, sizeof *n);
    bool made = n != NULL;
    if (n) {
        n->items = (int32_t)items;
        n->image = calloc(items, sizeof *n->image);
        n->marked = calloc(items, sizeof *n->marked);
        made = n->image && n->marked;
    }
    for (int k = 0; made && k < KINDS; k++) {
        n->kinds[k].strings = fb_intern_create();
        n->kinds[k].item = calloc(items, sizeof *n->kinds[k].item);
        made = n->kinds[k].strings && n->kinds[k].item;
    }
    if (!made || !fill(n, catalogue)) {
        fb_region_names_free(n);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the names of %zu images",
                       items);
    }
    *names = n;
    return FB_OK;
}

void fb_region_names_free(fb_region_names *names)
{
    if (!names)
        return;
    for (int k = 0; k < KINDS; k++) {
        fb_intern_free(names->kinds[k].strings);
        free(names->kinds[k].item);
    }
    free(names->image);
    free(names->marked);
    free(names);
}

int32_t fb_region_names_find(const fb_region_names *names, const char *name)
{
    for (int k = 0; k < KINDS; k++) {
        int32_t number = fb_intern_find(names->kinds[k].strings, name);
        if (number >= 0)
            return names->kinds[k].item[number];
    }
    return FB_REGION_NAME_UNKNOWN;
}

int32_t fb_region_names_first(const fb_region_names *names, int32_t item)
{
    return names->image[item];
}

bool fb_region_names_mark(fb_region_names *names, int32_t item)
{
    bool *marked = &names->marked[names->image[item]];
    bool first = !*marked;
    *marked = true;
    return first;
}

int32_t fb_region_names_next_missing(const fb_region_names *names, int32_t from)
{
    for (int32_t i = from; i < names->items; i++)
        if (names->image[i] == i && !names->marked[i])
            return i;
    return -1;
}
