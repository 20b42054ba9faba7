/* table.h - results as aligned columns: text to the left, numbers to the right, widths
 * as a terminal shows them (CJK characters take two columns). Control characters in
 * cells are shown as "?", so that outside text cannot steer the terminal. A cell is cut
 * at 500 bytes.
 *
 *     fb_table *t = fb_table_create("<name|>R@1|>queries");     "<" left, ">" right
 *     fb_table_text(t, "Chairs"); fb_table_number(t, 0.25, 3); fb_table_int(t, 40);
 *     fb_table_print(t, stdout);
 *     fb_table_free(t);
 */
#ifndef FB_CLI_TABLE_H
#define FB_CLI_TABLE_H

#include "base/status.h"
#include <stdio.h>

typedef struct fb_table fb_table;

/* A table with these column heads; NULL when memory is out. The functions below take
 * NULL and do nothing; memory that runs out later shows in fb_table_print. */
fb_table *fb_table_create(const char *heads);
void fb_table_free(fb_table *table);

/* The next cell; a row ends when its columns are full. */
void fb_table_text(fb_table *table, const char *text);
void fb_table_int(fb_table *table, int64_t value);
void fb_table_number(fb_table *table, double value, int decimals); /* NaN as "-" */

/* FB_E_MEMORY when a cell could not be kept (or table is NULL): nothing is printed. */
fb_status fb_table_print(fb_context *ctx, const fb_table *table, FILE *out);

#endif
