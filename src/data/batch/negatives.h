/* negatives.h - negative sampling: texts and images that do not match, hard ones (of
 * the same category) first.
 *
 * A text and an image may stand as a mismatched pair when
 *   - they are of different products,
 *   - no item of the image's product has this text, and
 *   - the image is not byte for byte one that an item with this text or of the text's
 *     product has.
 *
 * The other half of a pair comes from the item's most specific category; when nobody
 * there is eligible, from its next level up, and so on, at last from all the items;
 * with `anywhere`, from all the items at once.
 */
#ifndef FB_DATA_BATCH_NEGATIVES_H
#define FB_DATA_BATCH_NEGATIVES_H

#include "base/random.h"
#include "data/catalogue/catalogue.h"

typedef struct fb_negatives fb_negatives;

/* Among `items` (count >= 1), which are copied; the catalogue is borrowed. After
 * creation any number of threads may draw. */
fb_status fb_negatives_create(fb_context *ctx, fb_negatives **negatives,
                              const fb_catalogue *catalogue, const int32_t *items,
                              int32_t count);
void fb_negatives_free(fb_negatives *negatives);

/* An item whose image mismatches `item`'s text (other_image) or whose text mismatches
 * its image; a function of the bits that `random` gives. fell_back: it came from above
 * the item's most specific category.
 * FB_E_FORMAT   nothing in the whole list is eligible
 * FB_E_IO, FB_E_MISSING   an image file could not be read */
fb_status fb_negatives_draw(fb_context *ctx, const fb_negatives *negatives,
                            fb_random *random, int32_t item, bool other_image,
                            bool anywhere, int32_t *other, bool *fell_back);

/* Whether the text of one item and the image of another may be a mismatched pair. */
fb_status fb_negatives_eligible(fb_context *ctx, const fb_negatives *negatives,
                                int32_t text_item, int32_t image_item, bool *eligible);

#endif
