/* linear_floor.h - the linear baseline that a trained model must beat: ridge regression
 * from hand-made image features to the title's TF-IDF vector.
 *
 *     x   features of an image (floor_features.h), minus their mean over split train
 *     y   TF-IDF of a title: count * (log((1 + n) / (1 + df)) + 1) of each word that at
 *         least two of the n training titles have (the 20,000 most common of them), the
 *         vector scaled to length 1
 *     W   argmin sum |y - mean y - W x|^2 + ridge |W|^2 over split train (ridge
 *         regression), ridge = 2e-5 n
 *
 *     product score   y . (W x + mean y)
 *     cosine score    y . (W x) / |W x|
 *
 * The product is plain least squares. Its scores say "common words" of every image and
 * favour images with strong predictions; the cosine takes both out and ranks better, so
 * it is the floor that counts.
 *
 * With C = sum x x^T + ridge I = L L^T and S = sum x (y - mean y)^T:
 *     W x = S^T C^-1 x = (L^-1 S)^T (L^-1 x)
 * so an image is u = L^-1 x, a word a = L^-1 S, a text sum of y a, and a score a
 * product of two vectors of FB_FLOOR_FEATURES numbers. C, L and L^-1 are in f64
 * (triangle.h), the vectors in f32. 26 thousand products take a few seconds besides
 * reading their images.
 */
#ifndef FB_TASKS_LINEAR_FLOOR_H
#define FB_TASKS_LINEAR_FLOOR_H

#include "tasks/evaluate.h"

typedef struct fb_linear_floor fb_linear_floor;

/* Learn from split train of items' catalogue; make vectors of items' own images and
 * texts.
 * FB_E_MISSING  split train has no item
 * FB_E_MEMORY, FB_E_BACKEND, and what reading an image gives */
fb_status fb_linear_floor_create(fb_context *ctx, fb_linear_floor **floor,
                                 const fb_split_items *items, int32_t threads,
                                 bool quiet);
void fb_linear_floor_free(fb_linear_floor *floor);

/* Scorers for fb_evaluate_items; they borrow the floor. */
fb_pair_scorer fb_linear_floor_product(fb_linear_floor *floor);
fb_pair_scorer fb_linear_floor_cosine(fb_linear_floor *floor);

int64_t fb_linear_floor_train_items(const fb_linear_floor *floor);
int64_t fb_linear_floor_words(const fb_linear_floor *floor);
double fb_linear_floor_ridge(const fb_linear_floor *floor);

#endif
