/* format_choice.c - see format_choice.h. */
#include "backend/format_choice.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

enum { FILE_LIMIT = 4096 };

static const double most_rate = 1e18;

fb_dtype fb_format_choose(const fb_format_rates *rates)
{
    return rates->bf16 > rates->f32 ? FB_BF16 : FB_F32;
}

static fb_status try_once(fb_context *ctx, const fb_format_trial *trial, double *best)
{
    double rate = 0;
    FB_TRY(trial->run(trial->self, ctx, &rate));
    if (rate > *best)
        *best = rate;
    return FB_OK;
}

fb_status fb_format_measure(fb_context *ctx, const fb_format_trial *f32,
                            const fb_format_trial *bf16, double (*clock)(void),
                            double most_s, fb_format_rates *rates)
{
    fb_format_rates best = {0, 0};
    double begun_s = clock(), round_s = 0, now_s = begun_s;
    do {
        double before_s = now_s;
        FB_TRY(try_once(ctx, f32, &best.f32));
        FB_TRY(try_once(ctx, bf16, &best.bf16));
        now_s = clock();
        round_s = now_s - before_s;
    } while (round_s > 0 && now_s - begun_s + round_s <= most_s);
    *rates = best;
    return FB_OK;
}

/* ---- remembered ---------------------------------------------------------------------- */

static bool name_file(const char *folder, const char *machine, char path[4096])
{
    char name[64];
    snprintf(name, sizeof name, "format-%016llx.json",
             (unsigned long long)fb_hash_bytes(0, machine, strlen(machine)));
    return fb_path_join(NULL, path, folder, name) == FB_OK;
}

static bool read_rates(const char *path, const json_t *root, const char *machine,
                       fb_format_rates *rates)
{
    const char *there = NULL;
    fb_format_rates read = {0, 0};
    if (fb_json_get_string(NULL, path, root, "machine", &there) != FB_OK || !there ||
        strcmp(there, machine) != 0 ||
        fb_json_get_double(NULL, path, root, "f32", 1, most_rate, &read.f32) != FB_OK ||
        fb_json_get_double(NULL, path, root, "bf16", 1, most_rate, &read.bf16) !=
            FB_OK ||
        !(read.f32 > 0) || !(read.bf16 > 0))
        return false;
    *rates = read;
    return true;
}

bool fb_format_recall(const char *folder, const char *machine, fb_format_rates *rates)
{
    char path[4096];
    json_t *root;
    if (!name_file(folder, machine, path) || !fb_path_exists(path) ||
        fb_json_read(NULL, path, FILE_LIMIT, &root) != FB_OK)
        return false;
    bool read = read_rates(path, root, machine, rates);
    json_decref(root);
    return read;
}

void fb_format_remember(const char *folder, const char *machine,
                        const fb_format_rates *rates)
{
    char path[4096];
    fb_replace r;
    fb_json_writer w;
    if (fb_folder_make(NULL, folder) != FB_OK || !name_file(folder, machine, path) ||
        fb_replace_open(NULL, path, &r) != FB_OK)
        return;
    fb_json_begin(&w, r.stream, 0);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "machine", machine);
    fb_json_key_double(&w, "f32", rates->f32);
    fb_json_key_double(&w, "bf16", rates->bf16);
    fb_json_close_object(&w);
    fputc('\n', r.stream);
    (void)fb_replace_commit(NULL, &r); /* or it is found out again */
}
