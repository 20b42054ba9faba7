/* option_list_begin.h - what the list that follows is not asked for is nothing. */
#include "fashionbert/option_lists.h"

#ifndef FB_OPTION
#define FB_OPTION(...)
#endif
#ifndef FB_LIST
#define FB_LIST(...)
#endif
#ifndef FB_COMMAND
#define FB_COMMAND(...)
#endif
#ifndef FB_COMMAND_LIST
#define FB_COMMAND_LIST(...)
#endif
