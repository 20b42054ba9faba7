/* chance.h - what guessing reaches of R@K: exact expectations over a random order of
 * the candidates, so that a model is set beside what its own pools give away.
 *
 * With H hits and M negatives, all different, the rank is the place of the first hit:
 *
 *     P(rank <= K) = 1 - C(M, K) / C(H + M, K)          one hit: min(K, 1 + M) / (1 + M)
 *
 * Negatives that are alike (equal texts for an image, equal photos for a text) get one
 * score from whatever reads them, a guess that depends on what is read among them: they
 * stand before the hit together or behind it together. With D different negatives, of
 * which number i is there m_i times, and the hit's place among the D + 1 uniform,
 *
 *     P(rank <= K) = 1 / (D + 1)  sum over p of  N(p, K - 1) / C(D, p)
 *
 * where N(p, s) counts the sets of p different negatives with sum of m_i <= s. So
 * R@1 = 1 / (D + 1), more than 1 / (1 + sum of m_i).
 */
#ifndef FB_RETRIEVAL_RANKING_CHANCE_H
#define FB_RETRIEVAL_RANKING_CHANCE_H

#include <stdint.h>

typedef struct fb_chance {
    double r1, r5, r10;
} fb_chance;

/* hits >= 1 and negatives >= 0, all different. */
fb_chance fb_chance_of_hits(int64_t hits, int64_t negatives);

/* One hit against count >= 0 negatives, of which equal keys are alike; none is the
 * hit's. keys are sorted in place. */
fb_chance fb_chance_of_alike(int32_t *keys, int64_t count);

#endif
