/* trec.c - runs and qrels whose order no tool can turn in the positive's favour. */
#include "retrieval/ranking/trec.h"

#include "base/number_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void write_id(FILE *stream, const char *id)
{
    if (!*id)
        fputc('%', stream);
    for (const unsigned char *c = (const unsigned char *)id; *c; c++) {
        if (*c <= ' ' || *c == 0x7f || *c == '%')
            fprintf(stream, "%%%02X", (unsigned)*c);
        else
            fputc(*c, stream);
    }
}

static int compare_candidates(const void *a, const void *b)
{
    const fb_trec_candidate *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->positive != y->positive)
        return x->positive ? 1 : -1;
    return strcmp(x->id, y->id); /* the same file from run to run */
}

fb_status fb_trec_write_run(fb_context *ctx, FILE *stream, const char *query_id,
                            fb_trec_candidate *candidates, int64_t count,
                            const char *tag)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(candidates[i].score))
            return fb_fail(
                ctx, FB_E_NUMBER,
                "the score of query %.200s with %.200s is %f: scores must be "
                "finite to be ranked",
                query_id, candidates[i].id, (double)candidates[i].score);
    if (count > 0)
        qsort(candidates, (size_t)count, sizeof *candidates, compare_candidates);
    float before = INFINITY;
    for (int64_t i = 0; i < count; i++) {
        float score = candidates[i].score;
        if (score >= before)
            score = nextafterf(before, -INFINITY);
        before = score;
        write_id(stream, query_id);
        fputs(" Q0 ", stream);
        write_id(stream, candidates[i].id);
        fb_stream_print(stream, " %lld %.9g ", (long long)i + 1, (double)score);
        write_id(stream, tag);
        fputc('\n', stream);
    }
    return FB_OK;
}

void fb_trec_write_qrels(FILE *stream, const char *query_id,
                         const fb_trec_candidate *candidates, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (!candidates[i].positive)
            continue;
        write_id(stream, query_id);
        fputs(" 0 ", stream);
        write_id(stream, candidates[i].id);
        fputs(" 1\n", stream);
    }
}

static fb_status file_open(fb_context *ctx, fb_replace *file, const char *prefix,
                           const char *direction, int32_t draw, const char *ending)
{
    char path[4096];
    int length =
        snprintf(path, sizeof path, "%s.%s.%d.%s", prefix, direction, draw, ending);
    if (length < 0 || (size_t)length >= sizeof path)
        return fb_fail(ctx, FB_E_LIMIT,
                       "%.200s...: the path of the TREC files is too long", prefix);
    return fb_replace_open(ctx, path, file);
}

fb_status fb_trec_open(fb_context *ctx, fb_trec *trec, const char *prefix,
                       const char *direction, int32_t draw, const char *tag)
{
    snprintf(trec->tag, sizeof trec->tag, "%s", tag);
    FB_TRY(file_open(ctx, &trec->run, prefix, direction, draw, "run"));
    fb_status status = file_open(ctx, &trec->qrels, prefix, direction, draw, "qrels");
    if (status != FB_OK)
        fb_replace_abandon(&trec->run);
    return status;
}

fb_status fb_trec_add(fb_context *ctx, fb_trec *trec, const char *query_id,
                      fb_trec_candidate *candidates, int64_t count)
{
    FB_TRY(fb_trec_write_run(ctx, trec->run.stream, query_id, candidates, count,
                             trec->tag));
    fb_trec_write_qrels(trec->qrels.stream, query_id, candidates, count);
    return FB_OK;
}

fb_status fb_trec_commit(fb_context *ctx, fb_trec *trec)
{
    fb_status status = fb_replace_commit(ctx, &trec->run);
    if (status != FB_OK) {
        fb_replace_abandon(&trec->qrels);
        return status;
    }
    return fb_replace_commit(ctx, &trec->qrels);
}

void fb_trec_abandon(fb_trec *trec)
{
    fb_replace_abandon(&trec->run);
    fb_replace_abandon(&trec->qrels);
}
