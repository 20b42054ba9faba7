/* find_similar.c - products that look like a photo:  find_similar MODEL INDEX PHOTO [K]
 *
 *     cc find_similar.c -o find_similar -lfashionbert ...    (CMake: find_similar)
 */
#include "fashionbert.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: find_similar MODEL INDEX PHOTO [K]\n");
        return 2;
    }
    fb_context *ctx = fb_context_create();
    fb_model *model = NULL;
    fb_index *index = NULL;
    fb_search_result *found = NULL;
    fb_image_input photo = {.file = argv[3]};
    fb_input query = {.image = &photo};
    fb_search_options how;
    fb_search_options_defaults(&how);
    how.k = argc > 4 ? atoi(argv[4]) : 10;
    bool good = fb_model_open(ctx, &model, argv[1], NULL) == FB_OK &&
                fb_index_open(ctx, &index, argv[2], model) == FB_OK &&
                fb_search(ctx, model, index, &query, &how, &found) == FB_OK;
    if (!good)
        fprintf(stderr, "find_similar: %s\n", fb_context_message(ctx));
    for (int32_t i = 0; good && i < found->hit_count; i++)
        printf("%.4f  %-12s %s\n", (double)found->hits[i].score,
               found->hits[i].product_id, found->hits[i].title);

    fb_search_result_free(found);
    fb_index_close(index);
    fb_model_close(model);
    fb_context_free(ctx);
    return good ? 0 : 1;
}
