/* backend.c - the list of backends, and from a backend's and a dtype's name to one. */
#include "backend/backend.h"

#include "base/cores.h"
#include "base/number_text.h"
#include "fashionbert.h"

#include <stdio.h>
#include <string.h>

#define FB_BACKENDS(ROW)                                                               \
    ROW(cpu)                                                                           \
    ROW(ref)

#define DECLARE(name) extern const fb_backend_kind fb_backend_##name;
FB_BACKENDS(DECLARE)

#define ADDRESS(name) &fb_backend_##name,
static const fb_backend_kind *const kinds[] = {FB_BACKENDS(ADDRESS)};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

const char *fb_backend_name(int32_t place)
{
    return place >= 0 && place < KINDS ? kinds[place]->name : NULL;
}

static fb_status find(fb_context *ctx, const fb_backend_kind **kind, const char *name)
{
    char names[128] = "";
    for (int32_t i = 0, used = 0; i < KINDS; i++) {
        if (strcmp(kinds[i]->name, name) == 0) {
            *kind = kinds[i];
            return FB_OK;
        }
        if (used < (int)sizeof names)
            used += snprintf(names + used, sizeof names - (size_t)used, "%s%s",
                             i == 0           ? ""
                             : i == KINDS - 1 ? " or "
                                              : ", ",
                             kinds[i]->name);
    }
    return fb_fail(ctx, FB_E_USAGE, "backend \"%s\": want %s", name, names);
}

fb_status fb_backend_create(fb_context *ctx, fb_backend **be, const char *name,
                            const char *dtype, int32_t threads)
{
    const fb_backend_kind *kind = NULL;
    bool is_auto = strcmp(dtype, "auto") == 0, is_bf16 = strcmp(dtype, "bf16") == 0;
    if (!is_auto && !is_bf16 && strcmp(dtype, "f32") != 0)
        return fb_fail(ctx, FB_E_USAGE, "dtype \"%s\": want auto, f32 or bf16", dtype);
    if (threads < 0)
        return fb_fail(
            ctx, FB_E_USAGE,
            "threads %d: want a count, or 0 for all that this process may use",
            (int)threads);
    FB_TRY(find(ctx, &kind, name));
    if (is_bf16 && !kind->bf16)
        return fb_fail(ctx, FB_E_USAGE,
                       "dtype \"bf16\": the %s backend computes in f32 only; want auto "
                       "or f32",
                       kind->name);
    fb_format_rates rates = {0, 0};
    fb_dtype type = is_bf16 ? FB_BF16 : FB_F32;
    if (is_auto && kind->compare) {
        FB_TRY(kind->compare(ctx, fb_cores_or(threads), &rates));
        type = fb_format_choose(&rates);
    }
    FB_TRY(kind->create(ctx, be, type, threads));
    (*be)->rates = rates;
    return FB_OK;
}

void fb_backend_describe(const fb_backend *be, char text[FB_BACKEND_TEXT])
{
    bool bf16 = be->dtype == FB_BF16;
    const fb_format_rates *r = &be->rates;
    int used =
        snprintf(text, FB_BACKEND_TEXT, "%s on %d thread%s", fb_dtype_name(be->dtype),
                 (int)be->threads, be->threads == 1 ? "" : "s");
    if (r->f32 > 0 || r->bf16 > 0)
        fb_text_print(text + used, FB_BACKEND_TEXT - (size_t)used,
                      " (%.3g TFLOP/s of products; %s %.3g)",
                      (bf16 ? r->bf16 : r->f32) / 1e12, bf16 ? "f32" : "bf16",
                      (bf16 ? r->f32 : r->bf16) / 1e12);
}

void fb_backend_free(fb_backend *be)
{
    if (be)
        be->k->free(be);
}
