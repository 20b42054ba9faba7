/* backend.c - the list of backends, and from a backend's and a dtype's name to one. */
#include "backend/backend.h"

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
    bool bf16 = is_bf16 || (is_auto && kind->prefers_bf16 && kind->prefers_bf16());
    return kind->create(ctx, be, bf16 ? FB_BF16 : FB_F32, threads);
}

void fb_backend_free(fb_backend *be)
{
    if (be)
        be->k->free(be);
}
