/* replies.c - see replies.h. */
#include "server/replies.h"

#include "base/clock.h"
#include "server/answers.h"
#include <math.h>

static void write_ms(fb_json_writer *w, const char *name, double seconds)
{
    fb_json_key_double(w, name, round(1e6 * seconds) / 1e3); /* to the microsecond */
}

static bool is_search(const fb_job *job)
{
    return job->work == FB_WORK_SEARCH || job->work == FB_WORK_RERANK;
}

/* queue: waited to be read and to be computed. Of a search the rest are those of
 * `fashionbert search --json`. */
static void write_took(fb_json_writer *w, const fb_exchange *x, const fb_job *job)
{
    const fb_times *t = &x->times;
    fb_json_key(w, "took_ms");
    fb_json_open_object(w);
    write_ms(w, "queue",
             t->prepare_begun - t->received + t->compute_begun - t->prepared);
    write_ms(w, "tokenise", job->tokenise_s);
    write_ms(w, "decode", job->decode_s);
    if (is_search(job)) {
        write_ms(w, "encode", job->encode_s);
        write_ms(w, "search", job->search_s);
        write_ms(w, "rerank", job->compute_s - job->encode_s);
    } else {
        write_ms(w, "inference", job->compute_s);
    }
    write_ms(w, "total", fb_clock_s() - t->received);
    fb_json_close_object(w);
}

static void write_hit(fb_json_writer *w, const fb_hit *hit)
{
    fb_json_open_object(w);
    fb_json_key_string(w, "product_id", hit->product_id);
    fb_json_key_string(w, "title", hit->title);
    fb_json_key_string(w, "image", hit->image);
    fb_json_key_float(w, "score", hit->score);
    fb_json_key_float(w, "rerank_score", hit->rerank_score);
    fb_json_key_int(w, "rank", hit->rank);
    fb_write_attributes(w, hit);
    fb_json_close_object(w);
}

/* The object that `fashionbert search --json` prints. */
static void write_found(fb_json_writer *w, const fb_exchange *x, const fb_job *job)
{
    const fb_input *query = &job->inputs[0];
    fb_json_key_string(w, "query", query->text ? query->text : "");
    if (query->image)
        fb_json_key_string(w, "query_image", "upload");
    write_took(w, x, job);
    fb_json_key_int(w, "compared", job->found->compared);
    fb_json_key_int(w, "rerank_dropped", job->found->rerank_dropped);
    fb_json_key(w, "results");
    fb_json_open_array(w);
    for (int32_t i = 0; i < job->found->hit_count; i++)
        write_hit(w, &job->found->hits[i]);
    fb_json_close_array(w);
}

/* [rows, columns] */
static void write_rows(fb_json_writer *w, const char *name, const float *numbers,
                       int64_t rows, int64_t columns)
{
    fb_json_key(w, name);
    fb_json_open_array(w);
    for (int64_t r = 0; r < rows; r++) {
        fb_json_open_array(w);
        for (int64_t c = 0; c < columns; c++)
            fb_json_float(w, numbers[r * columns + c]);
        fb_json_close_array(w);
    }
    fb_json_close_array(w);
}

/* The object that `fashionbert explain --json` prints. */
static void write_why(fb_json_writer *w, const fb_job *job)
{
    const fb_explanation *e = job->why;
    fb_json_key_string(w, "text", job->inputs[0].text);
    fb_json_key_string(w, "image", job->found ? job->found->hits[0].image : "upload");
    fb_json_key_string(w, "method", e->method);
    fb_json_key_string(w, "score_kind", e->score_kind);
    fb_json_key_double(w, "probability", e->probability);
    fb_json_key_double(w, "score", e->score);
    fb_json_key_double(w, "without_words", e->without_words);
    fb_json_key_double(w, "without_image", e->without_image);
    fb_json_key(w, "words");
    fb_json_open_array(w);
    for (int32_t i = 0; i < e->word_count; i++) {
        fb_json_open_object(w);
        fb_json_key_string(w, "word", e->words[i].text);
        fb_json_key_int(w, "tokens", e->words[i].tokens);
        fb_json_key_double(w, "weight", e->words[i].weight);
        fb_json_close_object(w);
    }
    fb_json_close_array(w);
    fb_json_key_int(w, "words_left_out", e->words_left_out);
    fb_json_key(w, "patches");
    fb_json_open_array(w);
    for (int32_t row = 0; row < e->grid; row++) {
        fb_json_open_array(w);
        for (int32_t column = 0; column < e->grid; column++)
            fb_json_double(w, e->patches[row * e->grid + column]);
        fb_json_close_array(w);
    }
    fb_json_close_array(w);
    fb_json_key(w, "photo");
    fb_json_open_array(w);
    for (int32_t i = 0; i < 4; i++)
        fb_json_double(w, e->photo[i]);
    fb_json_close_array(w);
}

void fb_reply_write(fb_exchange *x, const fb_job *job)
{
    fb_reply reply;
    fb_json_writer *w = &reply.json;
    if (!fb_reply_begin(x, &reply))
        return;
    fb_json_open_object(w);
    if (is_search(job)) {
        write_found(w, x, job);
    } else if (job->work == FB_WORK_EXPLAIN) {
        write_took(w, x, job);
        write_why(w, job);
    } else if (job->work == FB_WORK_MATCH) {
        write_took(w, x, job);
        write_rows(w, "scores", job->numbers, job->row_count,
                   job->input_count / job->row_count);
    } else {
        int32_t width = fb_model_vector_size(job->served->models[0]);
        write_took(w, x, job);
        fb_json_key_int(w, "vector_size", width);
        write_rows(w, "vectors", job->numbers, job->input_count, width);
    }
    fb_json_close_object(w);
    fb_reply_end(x, &reply);
}
