/* fashiongen_file.c - see fashiongen_file.h. */
#include "support/fashiongen_file.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_BYTES = 160, FIELDS = 13 };

static const char *const colour_names[] = {"red",   "green", "blue",   "yellow",
                                           "black", "white", "purple", "orange"};
static const uint8_t colours[][3] = {{220, 30, 30},  {30, 160, 60}, {40, 60, 220},
                                     {240, 220, 40}, {20, 20, 20},  {250, 250, 250},
                                     {130, 40, 160}, {250, 140, 20}};
static const char *const shapes[] = {"circle", "square", "stripe"};
static const char *const names[FIELDS] = {
    "input_name",        "input_description",
    "input_productID",   "input_category",
    "input_subcategory", "input_brand",
    "input_composition", "input_concat_description",
    "input_department",  "input_gender",
    "input_msrpUSD",     "input_pose",
    "input_season"};

typedef struct product {
    int32_t number, view;
    int shape, front, back;
} product;

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

/* Views per product: 1, 2, 3, 1, 2, 3, ... */
static product product_of(int32_t row, uint32_t seed)
{
    static const int32_t offset[] = {0, 1, 1, 2, 2, 2}, view[] = {0, 0, 1, 0, 1, 2};
    product p = {.number = row / 6 * 3 + offset[row % 6], .view = view[row % 6]};
    uint32_t bits = mix((uint32_t)p.number * 2654435761u + seed);
    p.shape = (int)(bits % 3);
    p.front = (int)(bits / 3 % 8);
    p.back = (int)((bits / 3 % 8 + 1 + bits / 24 % 7) % 8);
    p.number += 1000 * (int32_t)seed + 1;
    return p;
}

/* Latin-1: the e with acute accent is one byte. */
static void field_text(const product *p, int field, char out[FIELD_BYTES])
{
    const char *front = colour_names[p->front], *back = colour_names[p->back];
    const char *shape = shapes[p->shape];
    switch (field) {
    case 0:
        snprintf(out, FIELD_BYTES, "%c%s %s", front[0] - 32, front + 1, shape);
        break;
    case 1:
        snprintf(out, FIELD_BYTES, "Drap\xe9 %s in %s on %s. Model %d.", shape, front,
                 back, (int)p->number);
        break;
    case 2:
        snprintf(out, FIELD_BYTES, "%d", (int)p->number);
        break;
    case 3:
        snprintf(out, FIELD_BYTES, "%s", p->shape == 2 ? "PATTERNS" : "SHAPES");
        break;
    case 4:
        snprintf(out, FIELD_BYTES, "%sS", shape);
        break;
    case 5:
        snprintf(out, FIELD_BYTES, "Caf\xe9 %d", p->front % 3);
        break;
    case 10:
        snprintf(out, FIELD_BYTES, "%d.5", 100 + (int)p->number % 50);
        break;
    case 11:
        snprintf(out, FIELD_BYTES, "id_gridfs_%d", (int)p->view + 1);
        break;
    default:
        snprintf(out, FIELD_BYTES, "%s of %s", names[field] + 6, front);
    }
}

static bool inside(int shape, int32_t side, int32_t x, int32_t y)
{
    int32_t dx = x - side / 2, dy = y - side / 2;
    if (shape == 0)
        return dx * dx + dy * dy < side * side / 7;
    if (shape == 1)
        return abs(dx) < side / 3 && abs(dy) < side / 3;
    return x / (side / 6 > 0 ? side / 6 : 1) % 2 == 0;
}

static void draw(const product *p, int32_t side, uint8_t *pixels)
{
    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++)
            memcpy(pixels + (size_t)(y * side + x) * 3,
                   colours[inside(p->shape, side, x + p->view, y) ? p->front : p->back],
                   3);
    pixels[0] = (uint8_t)p->number; /* no two images are the same */
    pixels[1] = (uint8_t)(p->number >> 8);
    pixels[2] = (uint8_t)p->view;
}

static bool write_dataset(hid_t file, const char *name, hid_t type, int rank,
                          const hsize_t *dims, hsize_t chunk_rows, const void *data)
{
    hid_t space = H5Screate_simple(rank, dims, NULL);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk[4] = {chunk_rows, dims[1], dims[2], dims[3]};
    if (chunk_rows) {
        H5Pset_chunk(list, rank, chunk);
        H5Pset_deflate(list, 1);
    }
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    bool written =
        set >= 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    H5Dclose(set);
    H5Pclose(list);
    H5Sclose(space);
    return written;
}

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

static bool write_strings(hid_t file, const fashiongen_options *o, int field)
{
    hsize_t dims[4] = {(hsize_t)(o->rows - is(o->shorten, names[field])), 1, 0, 0};
    char(*text)[FIELD_BYTES] = calloc((size_t)o->rows, sizeof *text);
    char **pointers = calloc((size_t)o->rows, sizeof *pointers);
    int64_t *numbers = calloc((size_t)o->rows, sizeof *numbers);
    hid_t type = H5Tcopy(H5T_C_S1);
    bool written = text && pointers && numbers;
    for (int32_t r = 0; written && r < o->rows; r++) {
        product p = product_of(r, o->seed);
        field_text(&p, field, text[r]);
        pointers[r] = text[r];
        numbers[r] = p.number;
    }
    if (written && o->variable && field == 2) {
        written = write_dataset(file, names[field], H5T_STD_I64LE, 2, dims, 0, numbers);
    } else if (written && o->variable) {
        H5Tset_size(type, H5T_VARIABLE);
        written = write_dataset(file, names[field], type, 2, dims, 0, pointers);
    } else if (written) {
        H5Tset_size(type, FIELD_BYTES);
        H5Tset_strpad(type, H5T_STR_NULLPAD);
        written = write_dataset(file, names[field], type, 2, dims, 0, text);
    }
    H5Tclose(type);
    free(numbers);
    free(pointers);
    free(text);
    return written;
}

static bool write_images(hid_t file, const fashiongen_options *o)
{
    hsize_t side = (hsize_t)o->side;
    hsize_t dims[4] = {(hsize_t)(o->rows - is(o->shorten, "input_image")), side, side,
                       3};
    size_t size = (size_t)o->side * (size_t)o->side * 3;
    uint8_t *pixels = calloc((size_t)o->rows, size);
    if (!pixels)
        return false;
    for (int32_t r = 0; r < o->rows; r++) {
        product p = product_of(r, o->seed);
        draw(&p, o->side, pixels + (size_t)r * size);
    }
    bool written = write_dataset(file, "input_image", H5T_STD_U8LE, 4, dims,
                                 o->compressed ? 3 : 0, pixels);
    free(pixels);
    return written;
}

static bool write_index(hid_t file, const fashiongen_options *o)
{
    hsize_t dims[4] = {(hsize_t)o->rows, 1, 0, 0};
    int64_t *index = calloc((size_t)o->rows, sizeof *index);
    if (!index)
        return false;
    for (int32_t r = 0; r < o->rows; r++)
        index[r] = r;
    bool written = write_dataset(file, "index", H5T_STD_I64LE, 2, dims, 0, index) &&
                   write_dataset(file, "index_2", H5T_STD_I64LE, 1, dims, 0, index);
    free(index);
    return written;
}

bool fashiongen_write(const char *path, const fashiongen_options *o)
{
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    bool written = file >= 0 && write_index(file, o);
    for (int field = 0; written && field < FIELDS; field++)
        if (!is(o->leave_out, names[field]))
            written = write_strings(file, o, field);
    if (written && !is(o->leave_out, "input_image"))
        written = write_images(file, o);
    return H5Fclose(file) >= 0 && written;
}
