/* import.c - the verb import: product data in another format becomes a catalogue
 * folder.
 */
#include "data/furniture.h"

#include <string.h>

void fb_import_options_defaults(fb_import_options *options)
{
    *options = (fb_import_options){
        .from = "sweethome3d",
        .out = "",
        .split = "80/10/10",
        .language = "",
    };
}

fb_status fb_import(fb_context *ctx, const fb_import_options *options,
                    fb_import_report *report)
{
    fb_context_clear(ctx);
    if (strcmp(options->from, "sweethome3d") == 0)
        return fb_furniture_import(ctx, options, report);
    return fb_fail(ctx, FB_E_USAGE, "--from: \"%.64s\" is not read; sweethome3d is",
                   options->from);
}
