/* cache_folder.h - the folder for what this program can find out again:
 * $XDG_CACHE_HOME/fashionbert, or $HOME/.cache/fashionbert (XDG Base Directory
 * Specification). */
#ifndef FB_BASE_CACHE_FOLDER_H
#define FB_BASE_CACHE_FOLDER_H

#include <stdbool.h>

/* False: the variables name no absolute path, so there is none. It need not be there. */
bool fb_cache_folder(char out[4096]);

#endif
