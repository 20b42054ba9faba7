/* ranking.c - see ranking.h. */
#include "cli/ranking.h"

void fb_ranking_write(fb_json_writer *w, const char *key, const fb_ranking *r)
{
    fb_json_key(w, key);
    fb_json_open_object(w);
    fb_json_key_int(w, "queries", r->queries);
    fb_json_key_int(w, "left_out", r->left_out);
    fb_json_key_double(w, "candidates_mean", r->candidates_mean);
    fb_json_key_double(w, "r1", r->r1);
    fb_json_key_double(w, "r5", r->r5);
    fb_json_key_double(w, "r10", r->r10);
    fb_json_key_double(w, "r_all", r->r_all);
    fb_json_key_double(w, "mrr", r->mrr);
    fb_json_key_double(w, "median_rank", r->median_rank);
    fb_json_key_double(w, "chance_r1", r->chance_r1);
    fb_json_key_double(w, "chance_r5", r->chance_r5);
    fb_json_key_double(w, "chance_r10", r->chance_r10);
    fb_json_close_object(w);
}

void fb_ranking_add(fb_table *table, const fb_ranking *r)
{
    fb_table_int(table, r->queries);
    fb_table_int(table, r->left_out);
    fb_table_number(table, r->candidates_mean, 1);
    fb_table_number(table, r->r1, 3);
    fb_table_number(table, r->chance_r1, 3);
    fb_table_number(table, r->r5, 3);
    fb_table_number(table, r->r10, 3);
    fb_table_number(table, r->r_all, 3);
    fb_table_number(table, r->mrr, 3);
    fb_table_number(table, r->median_rank, 1);
}

void fb_draws_say(const fb_evaluation *e, int32_t asked)
{
    if (e->draws < asked)
        printf("\nall %d draws are one: no query has other candidates to draw\n",
               (int)asked);
}
