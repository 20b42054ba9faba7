/* option_list_end.h - the end of a list of options: its macros are taken back. */
#undef FB_OPTION
#undef FB_LIST
#undef FB_COMMAND
#undef FB_COMMAND_LIST
#undef FB_OPTION_AT
#undef FB_COMMAND_AT
