/* int8_neon.c - int8 products by NEON, with and without dot products, beside the plain
 * loops: the same bits, and sums that are exact. Compiled for ARM64 from the sources of
 * the vector kernels alone, by check_neon.sh.
 */
#include "backend/cpu/vector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SET(isa)                                                                       \
    void vector_int8_quantize_##isa(int32_t *, float *, const float *, int64_t,        \
                                    int64_t);                                          \
    void vector_int8_quantize_part_##isa(int32_t *, int64_t, const float *, int64_t,   \
                                         float);                                       \
    void vector_int8_product_##isa(const vector_int8 *, int64_t, int64_t);
SET(plain)
SET(neon)
SET(dotprod)

typedef struct set {
    const char *name;
    int64_t columns, group;
    void (*quantize)(int32_t *, float *, const float *, int64_t, int64_t);
    void (*quantize_part)(int32_t *, int64_t, const float *, int64_t, float);
    void (*product)(const vector_int8 *, int64_t, int64_t);
} set;

#define ROW(isa, columns, group)                                                       \
    {                                                                                  \
#isa, columns, group, vector_int8_quantize_##isa,                              \
            vector_int8_quantize_part_##isa, vector_int8_product_##isa                 \
    }
static const set sets[] = {ROW(plain, 8, 2), ROW(neon, 16, 4), ROW(dotprod, 16, 4)};
enum { SETS = sizeof sets / sizeof *sets, ROUNDS = 3 };

static uint32_t state = 12345;

static int32_t draw(int32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (int32_t)(state >> 8) % below;
}

static void *take(int64_t bytes)
{
    void *memory = calloc(1, (size_t)bytes + 64);
    if (!memory)
        exit(2);
    return memory;
}

static int8_t *pack(const set *s, const int8_t *w, int64_t words, int64_t in,
                    int64_t out)
{
    int64_t panels = (out + s->columns - 1) / s->columns;
    int8_t *to = take(panels * words * s->columns * s->group);
    for (int64_t n = 0; n < out; n++)
        for (int64_t k = 0; k < in; k++)
            to[((n / s->columns * words + k / s->group) * s->columns + n % s->columns) *
                   s->group +
               k % s->group] = w[n * in + k];
    return to;
}

typedef struct numbers {
    int64_t rows, in, out;
    float *x, *scale, *bias, *residual;
    int8_t *w;
} numbers;

/* whole: numbers of the grid itself with scales of 1; extreme: 127 and -127 alone. */
static numbers make(int64_t rows, int64_t in, int64_t out, int whole, int extreme)
{
    numbers n = {rows,
                 in,
                 out,
                 take(rows * in * 4),
                 take(out * 4),
                 take(out * 4),
                 take(rows * out * 4),
                 take(out * in)};
    for (int64_t i = 0; i < rows * in; i++) {
        int32_t q = extreme || i % in == 0 ? draw(2) * 254 - 127 : draw(255) - 127;
        n.x[i] = whole ? (float)q : (float)q * 0.013f + (float)draw(100) * 1e-4f;
    }
    for (int64_t i = 0; i < out * in; i++)
        n.w[i] = (int8_t)(extreme ? draw(2) * 254 - 127 : draw(255) - 127);
    for (int64_t i = 0; i < out; i++) {
        n.scale[i] = whole ? 1.0f : 0.001f * (float)draw(50);
        n.bias[i] = whole ? 0.0f : (float)(draw(200) - 100) * 0.01f;
    }
    for (int64_t i = 0; !whole && i < rows * out; i++)
        n.residual[i] = (float)(draw(200) - 100) * 0.1f;
    return n;
}

static float *run(const set *s, const numbers *n, fb_activation act)
{
    int64_t words = (n->in + s->group - 1) / s->group;
    int64_t whole = (n->rows + VECTOR_INT8_ROWS - 1) / VECTOR_INT8_ROWS;
    int32_t *x = take(whole * VECTOR_INT8_ROWS * words * 4);
    float *x_scale = take(n->rows * 4), *y = take(n->rows * n->out * 4);
    int8_t *w = pack(s, n->w, words, n->in, n->out);
    s->quantize(x, x_scale, n->x, n->rows, n->in);
    s->quantize_part(x, 0, n->x, n->in, 1.0f / x_scale[0]); /* the same once more */
    const vector_int8 a = {.rows = n->rows,
                           .words = words,
                           .out = n->out,
                           .x = x,
                           .x_scale = x_scale,
                           .w = w,
                           .w_scale = n->scale,
                           .bias = n->bias,
                           .residual = act ? n->residual : NULL,
                           .act = act,
                           .y = y,
                           .panel = take(words * s->columns * 4)};
    s->product(&a, 0, (n->out + s->columns - 1) / s->columns);
    free(a.panel);
    free(x);
    free(x_scale);
    free(w);
    return y;
}

static int sums_are_wrong(const numbers *n, const float *y)
{
    for (int64_t i = 0; i < n->rows * n->out; i++) {
        int64_t sum = 0;
        for (int64_t k = 0; k < n->in; k++)
            sum += (int64_t)n->x[i / n->out * n->in + k] * n->w[i % n->out * n->in + k];
        if ((int64_t)y[i] != sum)
            return 1;
    }
    return 0;
}

static int check(int64_t rows, int64_t in, int64_t out, int round)
{
    int whole = round > 0, faults = 0;
    numbers n = make(rows, in, out, whole, round == 2);
    float *plain = NULL;
    for (int i = 0; i < SETS; i++) {
        float *y = run(&sets[i], &n, whole ? FB_ACT_NONE : FB_ACT_RELU);
        plain = plain ? plain : y;
        if (memcmp(y, plain, (size_t)(rows * out) * sizeof *y) != 0 ||
            (whole && sums_are_wrong(&n, y))) {
            printf("%s differs: [%d,%d] x [%d], round %d\n", sets[i].name, (int)rows,
                   (int)in, (int)out, round);
            faults++;
        }
        if (y != plain)
            free(y);
    }
    free(plain);
    free(n.x);
    free(n.scale);
    free(n.bias);
    free(n.residual);
    free(n.w);
    return faults;
}

int main(void)
{
    static const int64_t shapes[][3] = {{1, 1, 1},     {3, 5, 7},     {17, 31, 13},
                                        {64, 64, 64},  {7, 3, 129},   {13, 1040, 37},
                                        {12, 576, 64}, {49, 257, 101}};
    int faults = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int round = 0; round < ROUNDS; round++)
            faults += check(shapes[i][0], shapes[i][1], shapes[i][2], round);
    printf("int8_neon: %d faults\n", faults);
    return faults != 0;
}
