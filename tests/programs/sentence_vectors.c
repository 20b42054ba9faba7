/* sentence_vectors.c - unit vectors of texts by a pre-trained BERT:
 *
 *     sentence_vectors MODEL-FOLDER BACKEND DTYPE MAX-TOKENS <texts >vectors
 *
 * One text a line in, one line of numbers out: the mean of the encoder's output over
 * [CLS] text [SEP], of length 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/text/wordpiece.h"
#include "nn/weights_import.h"
#include "support/sentence.h"

typedef struct run {
    fb_context *ctx;
    fb_backend *be;
    fb_vocab *vocab;
    fb_matcher *matcher;
    fb_arena *arena;
    fb_model_config config;
    int32_t *ids;
    float *vector;
} run;

static fb_status run_open(run *r, const char *folder, const char *backend,
                          const char *dtype, int32_t max_text)
{
    char path[4096];
    FB_TRY(fb_path_join(r->ctx, path, folder, "config.json"));
    FB_TRY(fb_model_config_preset(r->ctx, &r->config, "mini"));
    r->config.max_text = max_text;
    FB_TRY(fb_model_config_read(r->ctx, &r->config, path));
    FB_TRY(fb_vocab_open(r->ctx, &r->vocab, folder));
    FB_TRY(fb_backend_create(r->ctx, &r->be, backend, dtype, 2));
    FB_TRY(fb_matcher_create(r->ctx, &r->matcher, &r->config, FB_MODEL_SCORE));
    r->arena = fb_arena_create(1 << 20);
    r->ids = malloc((size_t)max_text * sizeof *r->ids);
    r->vector = malloc((size_t)r->config.width * sizeof *r->vector);
    if (!r->arena || !r->ids || !r->vector)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory");
    return fb_weights_read_bert(r->ctx, r->matcher->params, folder, NULL, NULL);
}

static void run_close(run *r)
{
    if (r->matcher)
        r->matcher->system->free(r->matcher, r->be);
    fb_vocab_free(r->vocab);
    fb_arena_free(r->arena);
    fb_backend_free(r->be);
    fb_context_free(r->ctx);
    free(r->ids);
    free(r->vector);
}

static fb_status print_vector(run *r, const char *text, size_t bytes)
{
    int32_t offsets[2] = {0, 0};
    fb_tape tape = {0};
    fb_var *hidden;
    FB_TRY(fb_wordpiece_encode_wrapped(r->ctx, r->vocab, text, bytes,
                                       r->config.max_text, r->ids, &offsets[1]));
    fb_arena_reset(r->arena);
    fb_tape_begin(&tape, r->ctx, r->be, r->arena, false);
    FB_TRY(sentence_hidden((fb_fashionbert *)r->matcher, &tape, r->ids, offsets, 1,
                           &hidden));
    sentence_means(hidden, offsets, 1, r->vector);
    for (int32_t c = 0; c < r->config.width; c++)
        printf("%s%.9g", c ? " " : "", (double)r->vector[c]);
    putchar('\n');
    return FB_OK;
}

int main(int argc, char **argv)
{
    if (argc != 5 || atoi(argv[4]) < 2) {
        fputs("usage: sentence_vectors MODEL-FOLDER BACKEND DTYPE MAX-TOKENS <texts\n",
              stderr);
        return 2;
    }
    run r = {.ctx = fb_context_create()};
    char *line = NULL;
    size_t room = 0;
    fb_status status = run_open(&r, argv[1], argv[2], argv[3], atoi(argv[4]));
    for (ssize_t n; status == FB_OK && (n = getline(&line, &room, stdin)) >= 0;) {
        if (n > 0 && line[n - 1] == '\n')
            n--;
        status = print_vector(&r, line, (size_t)n);
    }
    free(line);
    if (status != FB_OK)
        fprintf(stderr, "sentence_vectors: %s\n", fb_context_message(r.ctx));
    run_close(&r);
    return status == FB_OK ? 0 : 1;
}
