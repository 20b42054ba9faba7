/* ranking.h - rankings as JSON and as table rows, the same for every verb that has one.
 */
#ifndef FB_CLI_RANKING_H
#define FB_CLI_RANKING_H

#include "base/json.h"
#include "cli/table.h"
#include "fashionbert.h"

/* "key": {"queries": ..., "chance_r1": ...} */
void fb_ranking_write(fb_json_writer *w, const char *key, const fb_ranking *ranking);

/* A table of rankings: FB_RANKING_HEADS behind the caller's own columns, and the cells.
 */
#define FB_RANKING_HEADS                                                               \
    ">queries|>left out|>candidates|>R@1|>chance R@1|>R@5|>R@10|>R@all|>MRR|>median "  \
    "rank"
void fb_ranking_add(fb_table *table, const fb_ranking *ranking);

/* A line where the draws that were asked for could not differ. */
void fb_draws_say(const fb_evaluation *evaluation, int32_t asked);

#endif
