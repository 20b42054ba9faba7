/* event_file.h - TensorBoard event files: scalars, written without protobuf.
 *
 * File: records of  u64 length | u32 masked crc32c(length) | bytes | u32 masked
 * crc(bytes), little-endian. The first holds Event{wall_time, file_version
 * "brain.Event:2"}, the others Event{wall_time=1 double, step=2 int64, summary=5
 * {value=1 {tag=1, simple_value=2}}}.
 */
#ifndef FB_BASE_EVENT_FILE_H
#define FB_BASE_EVENT_FILE_H

#include "base/status.h"
#include <stdio.h>

typedef struct fb_event_file fb_event_file;

/* A new file events.out.tfevents.<seconds>.<pid>.fashionbert in `folder`. */
fb_status fb_event_file_open(fb_context *ctx, fb_event_file **file, const char *folder);
fb_status fb_event_file_scalar(fb_context *ctx, fb_event_file *file, const char *tag,
                               int64_t step, float value);
fb_status fb_event_file_flush(fb_context *ctx, fb_event_file *file);
void fb_event_file_close(fb_event_file *file);

/* The records themselves, as functions of all that is in them; return their bytes, 0
 * when the tag is longer than FB_EVENT_TAG_BYTES. */
enum { FB_EVENT_TAG_BYTES = 256, FB_EVENT_RECORD_BYTES = 512 };
size_t fb_event_record_version(uint8_t out[FB_EVENT_RECORD_BYTES], double wall_s);
size_t fb_event_record_scalar(uint8_t out[FB_EVENT_RECORD_BYTES], double wall_s,
                              const char *tag, int64_t step, float scalar);

uint32_t fb_crc32c(const void *bytes, size_t size_bytes); /* Castagnoli, reflected */

#endif
