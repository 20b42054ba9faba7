/* page_files.h - the page's files, put into the program when it is built: page_files.c
 * is made by page_files.cmake from page/.
 */
#ifndef FB_SERVER_PAGE_FILES_H
#define FB_SERVER_PAGE_FILES_H

#include <stddef.h>
#include <stdint.h>

typedef struct fb_page_file {
    const char *name, *type; /* "index.html", "text/html; charset=utf-8" */
    const uint8_t *bytes;
    size_t size_bytes;
} fb_page_file;

extern const fb_page_file fb_page_files[];
extern const int32_t fb_page_file_count;

#endif
