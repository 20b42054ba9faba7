/* fuzz_region_tsv.c - any bytes as a line of bottom-up attention's TSV. A record that
 * is read keeps its promises, and its numbers lie where they may be read. */
#include "data/regions/region_file.h"
#include "data/regions/region_tsv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fb_context ctx = {0};
    fb_region_tsv_room room = {.boxes = NULL};
    fb_region_record r = {.end = false};
    char *line = malloc(size ? size : 1); /* overreads are seen */
    if (!line)
        return 0;
    memcpy(line, data, size);
    fb_status status = fb_region_tsv_read(&ctx, line, size, &room, &r);
    if (status != FB_OK && !ctx.message[0])
        abort();
    if (status == FB_OK) {
        if (r.regions < 1 || r.regions > FB_REGIONS_MOST || r.width < 1 ||
            r.height < 1 || r.feature_width < 1 || !r.name[0])
            abort();
        float *shares = malloc((size_t)r.regions * 4 * sizeof *shares);
        bool good = shares && fb_region_record_check(&ctx, &r, shares) == FB_OK;
        for (int32_t i = 0; good && r.classes && i < r.regions; i++)
            if (r.classes[i] < 0 || r.classes[i] >= FB_REGION_CLASSES_MOST ||
                !(r.scores[i] >= 0 && r.scores[i] <= 1))
                abort();
        if (good)
            for (int32_t i = 0; i < 4 * r.regions; i++)
                if (!(shares[i] >= 0 && shares[i] <= 1))
                    abort();
        free(shares);
    }
    fb_region_tsv_room_clear(&room);
    free(line);
    return 0;
}
