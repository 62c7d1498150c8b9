/* Run time of one compiled network: instruction set, weights, activations. Linux on x86-64, libc only.
 * model_table.h (generated) holds the kernels' declarations, the steps and the tensors.
 * Built for baseline x86-64: nothing here may execute before the CPU was asked. */
#define _GNU_SOURCE
#include "hawq_runtime.h"

#include <cpuid.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- memory of one context ---- */

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

typedef struct {
    uint8_t *arena;
    uint8_t *scratch;
    const uint8_t *blob;
} hawq_memory;

static size_t place_row(const hawq_place *t) { return (size_t)(t->left + t->width + t->right) * (size_t)t->pixel; }
static size_t place_origin(const hawq_place *t) { return (size_t)t->top * place_row(t) + (size_t)t->left * (size_t)t->pixel; }

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

/* Set a tensor's whole buffer, halo included, to its zero point. */
static void hawq_fill(const hawq_memory *m, const hawq_place *t)
{
    place_fill(m, t, 0, (size_t)(t->top + t->height + t->bottom) * place_row(t));
}

/* Set a tensor's halo to its zero point; the gap right of one row and left of the next is one run. */
static void hawq_border(const hawq_memory *m, const hawq_place *t)
{
    size_t row = place_row(t), inner = (size_t)t->width * (size_t)t->pixel, gap = row - inner;
    size_t first = place_origin(t), last = first + (size_t)(t->height - 1) * row + inner;
    place_fill(m, t, 0, first);
    if (gap)
        for (int y = 0; y < t->height - 1; y++) place_fill(m, t, first + (size_t)y * row + inner, gap);
    place_fill(m, t, last, (size_t)(t->top + t->height + t->bottom) * row - last);
}

#include "model_table.h"

/* ---- instruction sets ---- */

#define HAS(r, m) (((r) & (m)) == (m))

static int cpu_has_avx2(unsigned *leaf7b, unsigned *leaf7c, unsigned *state)
{
    unsigned a, b, c, d, high;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    /* x86-64-v3: sse3 ssse3 fma cx16 sse4.1 sse4.2 movbe popcnt osxsave avx f16c */
    if (!HAS(c, 1u | 1u << 9 | 1u << 12 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 22 | 1u << 23 | 1u << 27 | 1u << 28 | 1u << 29)) return 0;
    __asm__ volatile("xgetbv" : "=a"(*state), "=d"(high) : "c"(0));
    if (!HAS(*state, 6u)) return 0; /* the system keeps xmm and ymm */
    if (!__get_cpuid_count(7, 0, &a, leaf7b, leaf7c, &d) || !HAS(*leaf7b, 1u << 3 | 1u << 5 | 1u << 8)) return 0; /* bmi1 avx2 bmi2 */
    return __get_cpuid(0x80000001u, &a, &b, &c, &d) && HAS(c, 1u << 5); /* lzcnt */
}

static int cpu_has(const char *isa)
{
    unsigned a = 0, b = 0, c = 0, d = 0, e = 0, state = 0;
    if (!cpu_has_avx2(&b, &c, &state)) return 0;
    if (!strcmp(isa, "avx2")) return 1;
    if (!strcmp(isa, "avxvnni")) return __get_cpuid_count(7, 1, &a, &d, &e, &e) && HAS(a, 1u << 4);
    if (strcmp(isa, "vnni")) return 0;
    /* x86-64-v4 (f dq cd bw vl) and vnni; opmask and both zmm states kept by the system */
    return HAS(b, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31) && HAS(c, 1u << 11) && HAS(state, 0xe6u);
}

const char *hawq_isa(int i)
{
    for (size_t k = 0; k < HAWQ_ISAS; k++)
        if (cpu_has(hawq_isa_names[k]) && i-- == 0) return hawq_isa_names[k];
    return NULL;
}

static int isa_choose(const char *want)
{
    if (!want) want = getenv("HAWQ_ISA");
    for (size_t k = 0; k < HAWQ_ISAS; k++)
        if ((!want || !*want || !strcmp(want, hawq_isa_names[k])) && cpu_has(hawq_isa_names[k])) return (int)k;
    return -1;
}

/* ---- weights ---- */

struct hawq_model {
    hawq_memory memory;
    const hawq_kernels *kernels;
    int isa;
    void *mapped;
    atomic_flag busy;
};

static int weights_path(const char *given, char path[PATH_MAX])
{
    Dl_info info;
    if (given) {
        if (strlen(given) >= PATH_MAX) return 0;
        strcpy(path, given);
        return 1;
    }
    if (!dladdr((void *)(uintptr_t)&hawq_model_open, &info) || !info.dli_fname) return 0;
    const char *slash = strrchr(info.dli_fname, '/');
    size_t folder = slash ? (size_t)(slash - info.dli_fname) + 1 : 0;
    if (folder + sizeof "weights.bin" > PATH_MAX) return 0;
    memcpy(path, info.dli_fname, folder);
    strcpy(path + folder, "weights.bin");
    return 1;
}

/* The identity says whose weights they are, the checksum that every word is as it was written. */
static int weights_check(const uint8_t *p)
{
    const uint8_t *footer = p + HAWQ_BLOB_SIZE - 64;
    uint64_t sum = 0, word;
    for (uint64_t i = 0; i < (HAWQ_BLOB_SIZE - 64) / 8; i++) {
        memcpy(&word, p + 8 * i, 8);
        sum += word * (2 * i + 1);
    }
    return !memcmp(footer, hawq_blob_identity, 16) && sum == HAWQ_BLOB_CHECKSUM;
}

static int weights_open(hawq_model *m, const char *given)
{
    char path[PATH_MAX];
    struct stat st;
    if (!weights_path(given, path)) return HAWQ_EWEIGHTS;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return HAWQ_EWEIGHTS;
    if (fstat(fd, &st) || st.st_size != (off_t)HAWQ_BLOB_SIZE) {
        close(fd);
        return HAWQ_EWEIGHTS;
    }
    void *p = mmap(NULL, HAWQ_BLOB_SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED) return HAWQ_ENOMEM;
    m->mapped = p;
    m->memory.blob = p;
    return weights_check(p) ? HAWQ_OK : HAWQ_EWEIGHTS;
}

/* ---- running ---- */

static void load_image(const hawq_model *m, const uint8_t *image)
{
    const hawq_place *t = &hawq_places[0];
    uint8_t *p = m->memory.arena + t->buffer;
    size_t line = (size_t)t->width * (size_t)t->channels;
    if (t->pixel == t->channels && place_row(t) == line) {
        memcpy(p, image, line * (size_t)t->height);
        return;
    }
    p += place_origin(t);
    for (int y = 0; y < t->height; y++)
        for (int x = 0; x < t->width; x++)
            memcpy(p + (size_t)y * place_row(t) + (size_t)x * (size_t)t->pixel, image + (size_t)y * line + (size_t)x * (size_t)t->channels, (size_t)t->channels);
    hawq_border(&m->memory, t);
}

static int32_t read_element(const uint8_t *bytes, int32_t size, size_t at)
{
    int32_t wide;
    int16_t half;
    if (size == 1) return bytes[at];
    if (size == 4) return memcpy(&wide, bytes + 4 * at, 4), wide;
    return memcpy(&half, bytes + 2 * at, 2), half;
}

static void read_place(const hawq_model *m, const hawq_place *t, int32_t *out)
{
    const uint8_t *bytes = m->memory.arena + t->buffer;
    for (int y = 0; y < t->height; y++)
        for (int x = 0; x < t->width; x++) {
            size_t at = place_origin(t) + (size_t)y * place_row(t) + (size_t)x * (size_t)t->pixel;
            for (int c = 0; c < t->channels; c++) *out++ = read_element(bytes, t->element, at + (size_t)c) - t->bias;
        }
}

static void trace_step(const hawq_model *m, int step, int32_t *const *tensors)
{
    for (int i = 0; i < HAWQ_TENSORS; i++)
        if (hawq_places[i].step == step && tensors[i]) read_place(m, &hawq_places[i], tensors[i]);
}

static uint64_t nanoseconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void run_one(const hawq_model *m, const uint8_t *image, int32_t *logits, int32_t *const *tensors, uint64_t *times)
{
    load_image(m, image);
    if (tensors) trace_step(m, -1, tensors);
    for (int i = 0; i < HAWQ_STEPS; i++) {
        uint64_t start = times ? nanoseconds_now() : 0;
        hawq_step_table[i].run(m->kernels, &m->memory);
        if (times) times[i] = nanoseconds_now() - start;
        if (tensors) trace_step(m, i, tensors);
    }
    read_place(m, &hawq_places[HAWQ_OUTPUT], logits);
}

static int run_checked(hawq_model *m, const uint8_t *images, int32_t *logits, size_t count, int32_t *const *tensors, uint64_t *times)
{
    if (!m || (count && (!images || !logits))) return HAWQ_EARG;
    if (atomic_flag_test_and_set_explicit(&m->busy, memory_order_acquire)) return HAWQ_EBUSY;
    for (size_t i = 0; i < count; i++) run_one(m, images + i * HAWQ_INPUT_BYTES, logits + i * HAWQ_LOGITS, tensors, times);
    atomic_flag_clear_explicit(&m->busy, memory_order_release);
    return HAWQ_OK;
}

/* ---- interface ---- */

int hawq_abi(void) { return HAWQ_ABI; }
const char *hawq_version(void) { return HAWQ_VERSION; }
int hawq_steps(void) { return HAWQ_STEPS; }
int hawq_tensors(void) { return HAWQ_TENSORS; }
int hawq_input(hawq_io *out) { return hawq_tensor(0, out); }
int hawq_output(hawq_io *out) { return hawq_tensor(HAWQ_OUTPUT, out); }
const char *hawq_step_name(int i) { return i >= 0 && i < HAWQ_STEPS ? hawq_step_table[i].name : ""; }
const char *hawq_model_isa(const hawq_model *m) { return m ? hawq_isa_names[m->isa] : ""; }

int hawq_tensor(int i, hawq_io *out)
{
    if (i < 0 || i >= HAWQ_TENSORS || !out) return HAWQ_EARG;
    const hawq_place *t = &hawq_places[i];
    *out = (hawq_io){t->name, t->element, t->rank, {t->shape[0], t->shape[1], t->shape[2], t->shape[3]}};
    return HAWQ_OK;
}

const char *hawq_error(int e)
{
    static const char *const text[] = {
        "ok", "bad argument", "out of memory", "this CPU (or HAWQ_ISA) has no kernels in this library",
        "the weight file is missing, damaged, or of another model", "the context is already running in another thread"};
    return e <= 0 && e >= -5 ? text[-e] : "unknown error";
}

void hawq_model_close(hawq_model *m)
{
    if (!m) return;
    if (m->mapped) munmap(m->mapped, HAWQ_BLOB_SIZE);
    if (m->memory.arena) munmap(m->memory.arena, HAWQ_ARENA + HAWQ_SCRATCH);
    free(m);
}

int hawq_model_open(const hawq_options *options, hawq_model **out)
{
    hawq_options o = {sizeof o, NULL, NULL};
    if (!out) return HAWQ_EARG;
    *out = NULL;
    if (options) {
        if (options->size < sizeof o.size || options->size > 4096) return HAWQ_EARG;
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    }
    int isa = isa_choose(o.isa);
    if (isa < 0) return HAWQ_EISA;
    hawq_model *m = calloc(1, sizeof *m);
    if (!m) return HAWQ_ENOMEM;
    atomic_flag_clear(&m->busy);
    m->isa = isa;
    m->kernels = hawq_isa_kernels[isa];
    /* Scratch lies behind the arena; pages that no kernel touches cost nothing. */
    void *arena = mmap(NULL, HAWQ_ARENA + HAWQ_SCRATCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int rc = arena == MAP_FAILED ? HAWQ_ENOMEM : HAWQ_OK;
    if (rc == HAWQ_OK) {
        m->memory.arena = arena;
        m->memory.scratch = m->memory.arena + HAWQ_ARENA;
        madvise(arena, HAWQ_ARENA + HAWQ_SCRATCH, MADV_HUGEPAGE);
        rc = weights_open(m, o.weights);
    }
    if (rc != HAWQ_OK) {
        hawq_model_close(m);
        return rc;
    }
    *out = m;
    return HAWQ_OK;
}

int hawq_model_run(hawq_model *m, const uint8_t *images, int32_t *logits, size_t count)
{
    return run_checked(m, images, logits, count, NULL, NULL);
}

int hawq_model_trace(hawq_model *m, const uint8_t *image, int32_t *logits, int32_t *const *tensors)
{
    return tensors ? run_checked(m, image, logits, 1, tensors, NULL) : HAWQ_EARG;
}

int hawq_model_profile(hawq_model *m, const uint8_t *image, int32_t *logits, uint64_t *nanoseconds)
{
    return nanoseconds ? run_checked(m, image, logits, 1, NULL, nanoseconds) : HAWQ_EARG;
}
