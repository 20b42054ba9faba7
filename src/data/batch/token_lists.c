/* token_lists.c - see token_lists.h; token_encode.c makes them from texts. */
#include "data/batch/token_lists.h"

#include <stdlib.h>

void fb_token_lists_free(fb_token_lists *lists)
{
    if (!lists)
        return;
    free(lists->offsets);
    free(lists->ids);
    free(lists);
}
