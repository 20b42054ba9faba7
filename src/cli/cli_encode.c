/* cli_encode.c - `fashionbert encode`: vectors of a catalogue's products or queries as
 * NumPy arrays. */
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"

typedef struct encode_arguments {
    fb_encode_options task;
#define FB_COMMAND FB_OPTION_MEMBER
#include "fashionbert/encode.def"
} encode_arguments;

#define FB_OPTION             FB_OPTION_ROW
#define FB_COMMAND            FB_COMMAND_ROW
#define FB_OPTION_AT(member)  offsetof(encode_arguments, task.member)
#define FB_COMMAND_AT(member) offsetof(encode_arguments, member)
static const fb_option options[] = {
#include "fashionbert/encode.def"
};

static void print_json(const encode_arguments *a, const fb_encode_report *r)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "out", a->task.out);
    fb_json_key_string(&w, "what", a->task.what);
    fb_json_key_int(&w, "vectors", r->vectors);
    fb_json_key_int(&w, "resumed", r->resumed);
    fb_json_key_int(&w, "vector_size", r->vector_size);
    fb_json_key_double(&w, "seconds", r->seconds);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static fb_status run(fb_context *ctx, void *arguments)
{
    const encode_arguments *a = arguments;
    fb_encode_report report;
    FB_TRY(fb_encode(ctx, &a->task, &report));
    if (a->json) {
        print_json(a, &report);
        return FB_OK;
    }
    fb_table *table = fb_table_create("<what|>vectors|>there before|>numbers|>seconds");
    fb_table_text(table, a->task.what);
    fb_table_int(table, report.vectors);
    fb_table_int(table, report.resumed);
    fb_table_int(table, report.vector_size);
    fb_table_number(table, report.seconds, 1);
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

const fb_verb fb_verb_encode = {
    .name = "encode",
    .summary = "write vectors of products or queries",
    .about = "Writes the unit vectors of a catalogue's products as a NumPy array, and "
             "their product ids, a line a row. Run again, it goes on where it was "
             "stopped.",
    .example = "fashionbert encode --model model --catalog shop --out vectors",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(encode_arguments),
    .run = run,
};
