/* train_options.c - see train_options.h. */
#include "training/train_options.h"

#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_train_options, member)
static const fb_option rows[] = {
#include "fashionbert/train.def"
};

const fb_option_table fb_train_option_table = FB_OPTION_TABLE(rows);

void fb_train_options_defaults(fb_train_options *options)
{
    *options = (fb_train_options){0};
    fb_options_defaults(&fb_train_option_table, options);
}

fb_status fb_train_options_set(fb_context *ctx, fb_train_options *options,
                               const char *name, const char *text)
{
    return fb_option_set(ctx, &fb_train_option_table, options, name, text);
}

bool fb_train_option_is_own(const fb_option *option)
{
    return !option->start && !option->common;
}
