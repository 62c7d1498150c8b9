/* Memory of a running network: where stored tensors lie, and what surrounds them. Included by hawq_runtime.c alone. */
#ifndef HAWQ_MEMORY_H
#define HAWQ_MEMORY_H
#include <stdint.h>
#include <string.h>

#include "hawq_threads.h"

typedef struct {
    const char *name;
    int32_t step;              /* complete after this step; -1 for the input */
    int32_t rank;
    int64_t shape[4];
    size_t buffer;             /* bytes into the arena */
    int32_t element;           /* bytes */
    int32_t bias;              /* added to every value to store it */
    int32_t zero;              /* zero point as stored */
    int32_t height, width, channels, pixel; /* element (y, x, c) at origin + (y * row + x) * pixel + c, row in pixels */
    int32_t top, left, bottom, right;       /* halo in rows and pixels */
} hawq_place;

/* One thread's view of one image: `part` of `parts` threads that work on it together. */
typedef struct {
    uint8_t *arena;            /* shared by the parts */
    uint8_t *scratch;          /* the thread's own */
    const uint8_t *blob;
    hawq_team *team;
    int32_t part, parts;
} hawq_memory;

/* All parts of an image go on together. */
static inline void hawq_meet(const hawq_memory *m)
{
    if (m->parts > 1) team_meet(m->team);
}

static size_t place_row(const hawq_place *t) { return (size_t)(t->left + t->width + t->right) * (size_t)t->pixel; }
static size_t place_origin(const hawq_place *t) { return (size_t)t->top * place_row(t) + (size_t)t->left * (size_t)t->pixel; }
static size_t place_elements(const hawq_place *t) { return (size_t)(t->top + t->height + t->bottom) * place_row(t); }

/* First of `total` units that belong to a part; the next part's first is one past its last. */
static size_t share_start(size_t total, int32_t part, int32_t parts) { return total * (size_t)part / (size_t)parts; }

/* Set elements of a tensor to its zero point; one of four bytes has zero point 0. */
static void place_fill(const hawq_memory *m, const hawq_place *t, size_t first, size_t count)
{
    uint8_t *p = m->arena + t->buffer + first * (size_t)t->element;
    if (t->element != 2) {
        memset(p, t->zero, count * (size_t)t->element);
        return;
    }
    int16_t zero = (int16_t)t->zero;
    for (size_t i = 0; i < count; i++) memcpy(p + 2 * i, &zero, 2);
}

/* Set the part's share of a tensor's buffer, halo included, to its zero point. */
static inline void hawq_fill(const hawq_memory *m, const hawq_place *t)
{
    size_t first = share_start(place_elements(t), m->part, m->parts);
    place_fill(m, t, first, share_start(place_elements(t), m->part + 1, m->parts) - first);
}

/* Set the part's share of a tensor's halo to its zero point; the gap right of one row and left of the next is one run.
 * Kernels write inside the map only, so this needs no order among them. */
static inline void hawq_border(const hawq_memory *m, const hawq_place *t)
{
    size_t row = place_row(t), inner = (size_t)t->width * (size_t)t->pixel, gap = row - inner;
    size_t first = place_origin(t), gaps = (size_t)t->height - 1, last = first + gaps * row + inner;
    if (m->part == 0) place_fill(m, t, 0, first);
    if (gap)
        for (size_t y = share_start(gaps, m->part, m->parts); y < share_start(gaps, m->part + 1, m->parts); y++)
            place_fill(m, t, first + y * row + inner, gap);
    if (m->part == m->parts - 1) place_fill(m, t, last, place_elements(t) - last);
}

/* Store the part's share of a dense image. */
static inline void place_write(const hawq_memory *m, const hawq_place *t, const uint8_t *image)
{
    size_t width = (size_t)t->width, channels = (size_t)t->channels, pixel = (size_t)t->pixel, line = width * channels;
    uint8_t *p = m->arena + t->buffer + place_origin(t);
    for (size_t y = share_start((size_t)t->height, m->part, m->parts); y < share_start((size_t)t->height, m->part + 1, m->parts); y++) {
        uint8_t *to = p + y * place_row(t);
        const uint8_t *from = image + y * line;
        if (pixel == channels) memcpy(to, from, line);
        else
            for (size_t x = 0; x < width; x++) memcpy(to + x * pixel, from + x * channels, channels);
    }
    hawq_border(m, t);
}

static int32_t read_element(const uint8_t *bytes, int32_t size, size_t at)
{
    int32_t wide;
    int16_t half;
    if (size == 1) return bytes[at];
    if (size == 4) return memcpy(&wide, bytes + 4 * at, 4), wide;
    return memcpy(&half, bytes + 2 * at, 2), half;
}

/* Fetch a tensor's values, dense. `out` may have any alignment. */
static inline void place_read(const hawq_memory *m, const hawq_place *t, void *out)
{
    const uint8_t *bytes = m->arena + t->buffer;
    uint8_t *to = out;
    for (int y = 0; y < t->height; y++)
        for (int x = 0; x < t->width; x++) {
            size_t at = place_origin(t) + (size_t)y * place_row(t) + (size_t)x * (size_t)t->pixel;
            for (int c = 0; c < t->channels; c++, to += 4) {
                int32_t value = read_element(bytes, t->element, at + (size_t)c) - t->bias;
                memcpy(to, &value, 4);
            }
        }
}
#endif
