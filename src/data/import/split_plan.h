/* split_plan.h - which split each item of a catalogue goes to.
 *
 *     own split   by a hash of the item's key (product id, title, a column):
 *                 hash mod 100 in [0, train) train, [train, train + val) val, else
 *                 test. Nothing but the key decides: adding rows moves no other row.
 *     groups      items of one key, of one image file to the byte, or of images that
 *                 are near-duplicates (perceptual_hash.h) stay together, and so does
 *                 whatever such items are chained to. A group goes to the own split of
 *                 its first item, so that rows added behind follow the rows that they
 *                 repeat. (Only a new row that repeats two old groups of different
 *                 splits joins them: the later one then moves, and is counted.)
 *     stated      an item may come with a split, of the source or of an older
 *                 catalogue. It is that item's own, and a group's first stated split
 *                 goes before its first item's.
 *
 * An item is moved when its split is not its own.
 */
#ifndef FB_DATA_IMPORT_SPLIT_PLAN_H
#define FB_DATA_IMPORT_SPLIT_PLAN_H

#include "data/catalogue/catalogue.h"
#include "data/image/perceptual_hash.h"

/* Whole percentages of train, val and test that sum to 100. */
typedef struct fb_split_shares {
    int32_t percent[FB_SPLITS];
} fb_split_shares;

/* "90/5/5". FB_E_USAGE: the sentence begins with the text and says what is right. */
fb_status fb_split_shares_parse(fb_context *ctx, const char *text,
                                fb_split_shares *shares);

/* The hash of a key: the same on every machine. For a title, pass what
 * fb_title_normalise makes of it. */
uint64_t fb_split_key_hash(const char *key, size_t size_bytes);
fb_split fb_split_of_hash(const fb_split_shares *shares, uint64_t key_hash);

enum { FB_SPLIT_NOT_STATED = -1 };

typedef struct fb_split_item {
    uint64_t key;   /* fb_split_key_hash */
    uint64_t bytes; /* fb_hash_bytes of the image file; 0: unknown, equals none */
    fb_look look;   /* all zero: unknown, near to none */
    int32_t stated; /* an fb_split, or FB_SPLIT_NOT_STATED */
} fb_split_item;

typedef struct fb_split_report {
    int64_t items[FB_SPLITS];
    int64_t duplicates; /* items whose image has the bytes of an earlier item's */
    int64_t
        near_duplicates; /* items not among those that have a near one of other bytes */
    int64_t moved;       /* items not in their own split: the sum of the two below */
    int64_t moved_duplicate; /* for the sake of equal keys or bytes */
    int64_t moved_near;      /* for the sake of near images alone */
    int64_t largest_group;   /* items of the largest group */
} fb_split_report;

/* splits [count], and groups [count] unless NULL: the first item of each item's group.
 * FB_E_MEMORY: what the outputs hold is undefined. */
fb_status fb_split_plan_make(fb_context *ctx, const fb_split_item *items, int32_t count,
                             const fb_split_shares *shares, fb_split *splits,
                             int32_t *groups, fb_split_report *report);

#endif
