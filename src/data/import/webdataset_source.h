/* webdataset_source.h - records out of WebDataset tar shards (tar_shard.h).
 *
 * A record is a sample: the members of its json are its fields, its image goes along as
 * bytes. Without "id" among them the key is its id. Without "title" the txt is, and
 * without txt the json's "caption"; else the txt is a field "txt".
 */
#ifndef FB_DATA_IMPORT_WEBDATASET_SOURCE_H
#define FB_DATA_IMPORT_WEBDATASET_SOURCE_H

#include "data/import/record_source.h"

/* A file, or a pattern of files (file_list.h), called .tar, .tgz, .tar.gz, .tar.zst,
 * .tar* or .tar{...}. */
bool fb_webdataset_source_recognise(fb_context *ctx, const char *path);
/* FB_E_MISSING no shard of that name; FB_E_FORMAT a broken pattern; FB_E_MEMORY. A
 * shard that cannot be read, or not to its end, is one faulty record. */
fb_status fb_webdataset_source_open(fb_context *ctx, fb_record_source *source,
                                    const char *path, const fb_import_options *options);

#endif
