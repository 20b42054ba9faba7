/* file_list.h - the files that a pattern names: "shop-{0000..0099}.tar", "shop-*.tar".
 */
#ifndef FB_DATA_IMPORT_FILE_LIST_H
#define FB_DATA_IMPORT_FILE_LIST_H

#include "base/status.h"

enum { FB_FILE_LIST_MOST = 1000000 };

typedef struct fb_file_list {
    char **paths;
    int32_t count, capacity;
} fb_file_list;

/* Add what `pattern` names: itself, where it is a file or folder; else
 *   {000..012}   each number, with as many digits as the first is written with
 *   {a,b,c}      each word
 *   * ? [...]    what is in the folder, sorted; asked for what the braces gave
 * FB_E_MISSING  no file fits, or one that the braces gave is not there
 * FB_E_FORMAT   a brace that is not closed, or counts downwards
 * FB_E_LIMIT    more than FB_FILE_LIST_MOST files
 * After a failure the list is as it was. */
fb_status fb_file_list_add(fb_context *ctx, fb_file_list *list, const char *pattern);
void fb_file_list_clear(fb_file_list *list); /* takes one of zeros; leaves one */

#endif
