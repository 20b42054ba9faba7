/* cache_folder.c - see cache_folder.h. */
#include "base/cache_folder.h"

#include <stdio.h>
#include <stdlib.h>

static bool name_folder(char out[4096], const char *variable, const char *below)
{
    const char *base = getenv(variable);
    if (!base || base[0] != '/') /* a relative path is to be ignored */
        return false;
    int used = snprintf(out, 4096, "%s%s/fashionbert", base, below);
    return used > 0 && used < 4096;
}

bool fb_cache_folder(char out[4096])
{
    return name_folder(out, "XDG_CACHE_HOME", "") ||
           name_folder(out, "HOME", "/.cache");
}
