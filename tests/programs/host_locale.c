/* host_locale.c - stands for a host program: loaded before the command (LD_PRELOAD), it
 * sets the locale that the environment names, as such programs do, or ends the test. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void set_locale(void)
{
    char text[8];
    snprintf(text, sizeof text, "%.1f", setlocale(LC_ALL, "") ? 0.5 : 0.0);
    if (text[1] != ',') {
        fputs("host_locale: no locale with a decimal comma\n", stderr);
        _Exit(99);
    }
}
