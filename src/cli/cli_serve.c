/* cli_serve.c - `fashionbert serve`: answer over HTTP until told to end. */
#include "cli/verbs.h"
#include <stdlib.h>
#include <unistd.h>

typedef struct serve_arguments {
    fb_serve_options task;
#define FB_COMMAND FB_OPTION_MEMBER
#include "fashionbert/serve.def"
} serve_arguments;

#define FB_OPTION             FB_OPTION_ROW
#define FB_COMMAND            FB_COMMAND_ROW
#define FB_OPTION_AT(member)  offsetof(serve_arguments, task.member)
#define FB_COMMAND_AT(member) offsetof(serve_arguments, member)
static const fb_option options[] = {
#include "fashionbert/serve.def"
};

static fb_status run(fb_context *ctx, void *arguments)
{
    serve_arguments *a = arguments;
    if (a->store[0] && a->task.index[0])
        return fb_fail(ctx, FB_E_USAGE, "--index and --store do not go together");
    if (a->store[0])
        a->task.index = a->store;
    bool left_behind = false;
    a->task.left_behind = &left_behind;
    fb_status status = fb_serve(ctx, &a->task);
    if (left_behind &&
        status == FB_OK) /* exit() would pull libraries from under them */
        _exit(EXIT_SUCCESS);
    return status;
}

const fb_verb fb_verb_serve = {
    .name = "serve",
    .summary = "answer over HTTP, with a page to try",
    .about =
        "Searches, matches, re-ranks, encodes and explains over HTTP, and shows a page "
        "at /. /openapi.json describes the requests, /metrics counts them. SIGTERM "
        "ends "
        "it once all that has come is answered; SIGHUP opens the model and the index "
        "anew without losing a request.",
    .example = "fashionbert serve --model model --index index --port 8080",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(serve_arguments),
    .run = run,
};
