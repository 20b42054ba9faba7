/* pg_copy.h - rows as PostgreSQL's COPY ... (FORMAT BINARY) wants them, and the keys
 * that filters ask for. No database is needed here.
 *
 *     begin   "PGCOPY\n\377\r\n\0", two i32 of 0
 *     row     i16 fields, each an i32 of its bytes and these
 *     end     i16 of -1
 *
 * Numbers are big-endian. A text is its UTF-8; a vector i16 D, i16 0, f32[D]; a halfvec
 * the same with f16[D], IEEE 754's half, rounded to nearest even; a text[]
 * i32 1, 0, 25, count, 1 and each text with its length.
 */
#ifndef FB_RETRIEVAL_POSTGRES_PG_COPY_H
#define FB_RETRIEVAL_POSTGRES_PG_COPY_H

#include "base/status.h"

/* Bytes so far; memory that ran out shows in fb_pg_copy_check. Begins all zero. */
typedef struct fb_pg_copy {
    char *bytes;
    size_t size, capacity;
    bool failed;
} fb_pg_copy;

void fb_pg_copy_begin(fb_pg_copy *c);
void fb_pg_copy_row(fb_pg_copy *c, int32_t fields);
void fb_pg_copy_int64(fb_pg_copy *c, int64_t value);
void fb_pg_copy_text(fb_pg_copy *c, const char *text);
void fb_pg_copy_vector(fb_pg_copy *c, const float *vector, int32_t width);
void fb_pg_copy_halfvec(fb_pg_copy *c, const float *vector, int32_t width);
void fb_pg_copy_texts(fb_pg_copy *c, const char *const *texts, int32_t count);
void fb_pg_copy_end(fb_pg_copy *c);
fb_status fb_pg_copy_check(fb_context *ctx, const fb_pg_copy *c); /* FB_E_MEMORY */
void fb_pg_copy_free(fb_pg_copy *c);

/* A vector's value alone, as a binary parameter. */
void fb_pg_vector_value(fb_pg_copy *c, const float *vector, int32_t width);

/* The bits of a number as f16; beyond 65504 infinite. */
uint16_t fb_pg_half(float number);

/* What a filter of this attribute asks for: the length of the name, name and value with
 * ASCII letters made small, so that no two attributes have one key. The value's hash
 * stands for one of more than 200 bytes, which an index does not take. malloc'ed; NULL:
 * memory is out. */
char *fb_pg_filter_key(const char *name, const char *value);

/* "postgresql://..." or "postgres://...", and others behind blanks. */
bool fb_pg_is_store(const char *place);

/* The shard of `shards` in which a product lies: all its rows in one. */
int32_t fb_pg_shard_of(const char *product_id, int32_t shards);

#endif
