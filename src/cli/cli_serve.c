/* cli_serve.c - `fashionbert serve`: answer over HTTP until told to end. */
#include "cli/verbs.h"

typedef struct serve_arguments {
    fb_serve_options task;
    const char *store;
} serve_arguments;

#define AT(member) offsetof(serve_arguments, task.member)

static const fb_option options[] = {
    {.name = "model",
     .value = "DIR",
     .type = FB_OPTION_STRING,
     .offset = AT(model),
     .required = true,
     .help = "model folder"},
    {.name = "index",
     .value = "DIR",
     .type = FB_OPTION_STRING,
     .offset = AT(index),
     .help = "index folder to search; none: match, encode and explain only"},
    {.name = "store",
     .value = "URI",
     .type = FB_OPTION_STRING,
     .offset = offsetof(serve_arguments, store),
     .help = "in its place: what `index --to` loaded, postgresql://host/db and others "
             "behind blanks"},
    {.name = "ranker",
     .value = "DIR",
     .type = FB_OPTION_STRING,
     .offset = AT(ranker),
     .help = "model of queries (train --objective qti) that re-ranks in the place of "
             "--model where a query has a text"},
    {.name = "host",
     .value = "ADDRESS",
     .type = FB_OPTION_STRING,
     .offset = AT(host),
     .help = "to listen on; 0.0.0.0 for every network, behind a proxy or a firewall"},
    {.name = "port",
     .value = "PORT",
     .type = FB_OPTION_INT32,
     .offset = AT(port),
     .high = 65535,
     .help = "to listen on; 0 is any that is free, said on standard error"},
    {.name = "api-key",
     .value = "KEY",
     .type = FB_OPTION_STRING,
     .offset = AT(api_key),
     .help = "that requests must carry; better given as FASHIONBERT_API_KEY, which a "
             "list of processes does not show"},
    {.name = "access-log",
     .value = "FILE",
     .type = FB_OPTION_STRING,
     .offset = AT(access_log),
     .help = "a JSON line for each answer; - is standard output, or none"},
    {.name = "workers",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = AT(workers),
     .low = 1,
     .high = 64,
     .help = "batches computed at once, each by --threads threads on its own copy of "
             "the model"},
    {.name = "readers",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = AT(readers),
     .low = 1,
     .high = 64,
     .help = "threads that read bodies and decode images"},
    {.name = "queue",
     .value = "REQUESTS",
     .type = FB_OPTION_INT32,
     .offset = AT(queue),
     .low = 1,
     .high = 1000000,
     .help = "that may wait; the next one is answered 429"},
    {.name = "max-wait",
     .value = "SECONDS",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(max_wait_s),
     .low = 0.001,
     .high = 3600,
     .help = "429 too where a request would wait longer, at the speed of late, or has"},
    {.name = "batch-tokens",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = AT(batch_tokens),
     .low = 1,
     .high = 1000000,
     .help = "tokens and patches of requests computed together, about"},
    {.name = "max-body",
     .value = "MIB",
     .type = FB_OPTION_INT32,
     .offset = AT(max_body_mb),
     .low = 1,
     .high = 1024,
     .help = "of a request; a larger one is answered 413"},
    {.name = "max-megapixels",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = AT(max_megapixels),
     .low = 1,
     .high = 40,
     .help = "of an image that is sent"},
    {.name = "memory",
     .value = "MIB",
     .type = FB_OPTION_INT32,
     .offset = AT(memory_mb),
     .low = 1,
     .high = 1000000,
     .help = "for bodies and images of requests that wait; past it 429"},
    {.name = "connections",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = AT(connections),
     .low = 1,
     .high = 60000,
     .help = "open at once"},
    {.name = "receive-timeout",
     .value = "SECONDS",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(receive_s),
     .low = 0.1,
     .high = 3600,
     .help = "a request must have arrived within them, or it is answered 408"},
    {.name = "drain-timeout",
     .value = "SECONDS",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(drain_s),
     .low = 0,
     .high = 3600,
     .help = "after SIGTERM, to answer what has come"},
    FB_OPTION_COMPUTE_ROWS(serve_arguments, task.backend, task.dtype, task.threads),
    FB_OPTION_FLAG_ROW(serve_arguments, "quiet", task.quiet,
                       "say nothing on standard error"),
};

static void defaults(void *arguments)
{
    serve_arguments *a = arguments;
    a->store = "";
    fb_serve_options_defaults(&a->task);
}

static fb_status run(fb_context *ctx, void *arguments)
{
    serve_arguments *a = arguments;
    if (a->store[0] && a->task.index[0])
        return fb_fail(ctx, FB_E_USAGE, "--index and --store do not go together");
    if (a->store[0])
        a->task.index = a->store;
    return fb_serve(ctx, &a->task);
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
    .defaults = defaults,
    .run = run,
};
