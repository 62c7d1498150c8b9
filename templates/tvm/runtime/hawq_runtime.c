/* Run time of one compiled network: weights, activations, threads. Linux on x86-64, libc only.
 * model_table.h (generated) holds the kernels' declarations, the steps and the tensors.
 * Built for baseline x86-64: nothing here may execute before the CPU was asked. */
#define _GNU_SOURCE
#include "hawq_runtime.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "hawq_cpu.h"
#include "hawq_memory.h"
#include "hawq_threads.h"
#include "model_table.h"

/* ---- errors ---- */

static _Thread_local char last_error[512];

__attribute__((format(printf, 2, 3))) static int fail(int code, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(last_error, sizeof last_error, format, values);
    va_end(values);
    return code;
}

const char *hawq_last_error(void) { return last_error; }

const char *hawq_error(int e)
{
    static const char *const text[] = {
        "ok", "bad argument", "out of memory", "this CPU (or HAWQ_ISA) has no kernels in this library",
        "the weight file is missing, damaged, or of another model", "the context is already running in another thread",
        "the system does not start another thread"};
    return e <= 0 && e >= -6 ? text[-e] : "unknown error";
}

/* ---- one open network ---- */

/* What the threads work on. */
typedef struct {
    const uint8_t *images;
    uint8_t *logits;
    size_t count;
    int32_t *const *tensors;
    uint64_t *times;
} hawq_job;

struct hawq_model {
    uint8_t *arena;        /* one per image that is in work, then one scratch per thread */
    const uint8_t *blob;
    const hawq_kernels *kernels;
    const char *isa;
    hawq_team *team;
    hawq_job job;
    atomic_int owner;      /* the process that runs it, 0 while idle: a child does not inherit a parent's call */
};

static size_t memory_bytes(int threads) { return (size_t)threads * ((size_t)HAWQ_ARENA * HAWQ_BATCH + HAWQ_SCRATCH); }

/* ---- weights ---- */

static int weights_path(const char *given, char *path, size_t size)
{
    Dl_info info;
    if (given) {
        if ((size_t)snprintf(path, size, "%s", given) < size) return HAWQ_OK;
        return fail(HAWQ_EWEIGHTS, "the path of the weight file is too long");
    }
    if (!dladdr((void *)(uintptr_t)&hawq_model_open, &info) || !info.dli_fname)
        return fail(HAWQ_EWEIGHTS, "the library's folder is unknown: name the weight file in the options");
    const char *slash = strrchr(info.dli_fname, '/');
    int folder = slash ? (int)(slash - info.dli_fname) + 1 : 0;
    if ((size_t)snprintf(path, size, "%.*sweights.bin", folder, info.dli_fname) < size) return HAWQ_OK;
    return fail(HAWQ_EWEIGHTS, "the path of the weight file is too long");
}

static void hexadecimal(char *text, const uint8_t *bytes)
{
    for (int i = 0; i < 16; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

/* The identity says whose weights they are, the checksum that every word is as it was written. */
static int weights_check(const uint8_t *p, const char *path)
{
    const uint8_t *footer = p + HAWQ_BLOB_SIZE - 64;
    char found[33], wanted[33];
    uint64_t sum = 0, word;
    if (memcmp(footer, hawq_blob_identity, 16)) {
        hexadecimal(found, footer);
        hexadecimal(wanted, hawq_blob_identity);
        return fail(HAWQ_EWEIGHTS, "the weight file %s is of another model: digest %s, not %s", path, found, wanted);
    }
    for (uint64_t i = 0; i < (HAWQ_BLOB_SIZE - 64) / 8; i++) {
        memcpy(&word, p + 8 * i, 8);
        sum += word * (2 * i + 1);
    }
    if (sum == HAWQ_BLOB_CHECKSUM) return HAWQ_OK;
    return fail(HAWQ_EWEIGHTS, "the weight file %s is damaged: its checksum is wrong", path);
}

static int weights_open(hawq_model *m, const char *given)
{
    char path[PATH_MAX];
    struct stat st;
    int rc = weights_path(given, path, sizeof path);
    if (rc != HAWQ_OK) return rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(HAWQ_EWEIGHTS, "the weight file %s cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &st) || st.st_size != (off_t)HAWQ_BLOB_SIZE) {
        close(fd);
        return fail(HAWQ_EWEIGHTS, "the weight file %s is truncated or of another model: %lld bytes, not %lld", path,
                    (long long)st.st_size, (long long)HAWQ_BLOB_SIZE);
    }
    void *p = mmap(NULL, HAWQ_BLOB_SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED) return fail(HAWQ_ENOMEM, "the weight file %s cannot be mapped: %s", path, strerror(errno));
    m->blob = p;
    return weights_check(p, path);
}

/* ---- running ---- */

static void trace_step(const hawq_memory *at, int step, int32_t *const *tensors)
{
    for (int i = 0; i < HAWQ_TENSORS && at->part == 0; i++)
        if (hawq_places[i].step == step && tensors[i]) place_read(at, &hawq_places[i], tensors[i]);
    hawq_meet(at);
}

static void run_step(const hawq_model *m, const hawq_job *job, const hawq_memory *at, int step)
{
    uint64_t start = job->times && at->part == 0 ? nanoseconds_now() : 0;
    hawq_step_table[step].run(m->kernels, at);
    if (start) job->times[step] = nanoseconds_now() - start;
    if (job->tensors) trace_step(at, step, job->tensors);
}

static void load_image(const hawq_job *job, const hawq_memory *at, size_t image)
{
    place_write(at, &hawq_places[0], job->images + image * HAWQ_INPUT_BYTES);
    hawq_meet(at);
    if (job->tensors) trace_step(at, -1, job->tensors);
}

static void read_logits(const hawq_job *job, const hawq_memory *at, size_t image)
{
    place_read(at, &hawq_places[HAWQ_OUTPUT], job->logits + image * HAWQ_LOGITS * sizeof(int32_t));
}

static hawq_memory memory_of(const hawq_model *m, int thread, size_t slot, int part, int parts)
{
    uint8_t *scratch = m->arena + (size_t)m->team->parts * HAWQ_BATCH * HAWQ_ARENA + (size_t)thread * HAWQ_SCRATCH;
    return (hawq_memory){m->arena + slot * HAWQ_ARENA, scratch, m->blob, m->team, part, parts};
}

/* Images that one thread computes alone, up to HAWQ_BATCH: stage by stage, so that a stage's weights are read once. */
static void run_alone(const hawq_model *m, const hawq_job *job, int thread, size_t first, size_t count)
{
    hawq_memory at[HAWQ_BATCH];
    for (size_t i = 0; i < count; i++) {
        at[i] = memory_of(m, thread, (size_t)thread * HAWQ_BATCH + i, 0, 1);
        load_image(job, &at[i], first + i);
    }
    for (size_t stage = 0; stage < HAWQ_STAGES; stage++)
        for (size_t i = 0; i < count; i++)
            for (int step = hawq_stages[stage]; step < hawq_stages[stage + 1]; step++) run_step(m, job, &at[i], step);
    for (size_t i = 0; i < count; i++) read_logits(job, &at[i], first + i);
}

/* One image that all threads compute together; the last barrier is that of the last step. */
static void run_together(const hawq_model *m, const hawq_job *job, int part, size_t image)
{
    hawq_memory at = memory_of(m, part, 0, part, m->team->parts);
    load_image(job, &at, image);
    for (int step = 0; step < HAWQ_STEPS; step++) run_step(m, job, &at, step);
    if (part == 0) read_logits(job, &at, image);
}

/* One thread's share of a job: as many whole images as there are for every thread, then the rest together. The job is
 * copied: past the last barrier the caller may write the next one. */
static void work(void *context, int part)
{
    const hawq_model *m = context;
    const hawq_job job = m->job;
    int parts = m->team->parts;
    size_t count = job.count, each = count / (size_t)parts, done = each * (size_t)parts;
    thread_start(m->isa);
    for (size_t i = 0; i < each; i += HAWQ_BATCH)
        run_alone(m, &job, part, each * (size_t)part + i, each - i < HAWQ_BATCH ? each - i : HAWQ_BATCH);
    if (each && parts > 1) team_meet(m->team);
    for (size_t i = done; i < count; i++) {
        run_together(m, &job, part, i);
        if (i + 1 < count) team_meet(m->team);
    }
    thread_stop(m->isa);
}

/* Mark the context as this process's; another thread of it may not have it now. */
static int model_take(hawq_model *m)
{
    int idle = atomic_load(&m->owner), own = (int)getpid();
    if (idle != own && atomic_compare_exchange_strong(&m->owner, &idle, own)) return HAWQ_OK;
    return fail(HAWQ_EBUSY, "%s", hawq_error(HAWQ_EBUSY));
}

static int run_checked(hawq_model *m, hawq_job job)
{
    if (!m) return fail(HAWQ_EARG, "the model is a null pointer");
    if (job.count && (!job.images || !job.logits)) return fail(HAWQ_EARG, "the %s are a null pointer", job.images ? "logits" : "images");
    if (job.count > SIZE_MAX / HAWQ_INPUT_BYTES || job.count > SIZE_MAX / (HAWQ_LOGITS * sizeof(int32_t)))
        return fail(HAWQ_EARG, "%zu images are more than memory can hold", job.count);
    int rc = model_take(m);
    if (rc != HAWQ_OK) return rc;
    m->job = job;
    int error = job.count ? team_work(m->team) : 0;
    if (error) rc = fail(HAWQ_ETHREAD, "%d threads cannot be started: %s", m->team->parts, strerror(error));
    atomic_store(&m->owner, 0);
    return rc;
}

/* ---- interface ---- */

int hawq_abi(void) { return HAWQ_ABI; }
const char *hawq_version(void) { return HAWQ_VERSION; }
int hawq_steps(void) { return HAWQ_STEPS; }
int hawq_tensors(void) { return HAWQ_TENSORS; }
int hawq_input(hawq_io *out) { return hawq_tensor(0, out); }
int hawq_output(hawq_io *out) { return hawq_tensor(HAWQ_OUTPUT, out); }
size_t hawq_input_bytes(void) { return HAWQ_INPUT_BYTES; }
size_t hawq_output_values(void) { return HAWQ_LOGITS; }
const char *hawq_step_name(int i) { return i >= 0 && i < HAWQ_STEPS ? hawq_step_table[i].name : ""; }
const char *hawq_model_isa(const hawq_model *m) { return m ? m->isa : ""; }
int hawq_model_threads(const hawq_model *m) { return m ? m->team->parts : 0; }

int hawq_tensor(int i, hawq_io *out)
{
    if (i < 0 || i >= HAWQ_TENSORS || !out) return fail(HAWQ_EARG, "there is no tensor %d, or nowhere to describe it", i);
    const hawq_place *t = &hawq_places[i];
    *out = (hawq_io){t->name, t->element, t->rank, {t->shape[0], t->shape[1], t->shape[2], t->shape[3]}};
    return HAWQ_OK;
}

const char *hawq_isa(int i)
{
    for (size_t k = 0; k < HAWQ_ISAS; k++)
        if (cpu_has(hawq_isa_names[k]) && i-- == 0) return hawq_isa_names[k];
    return NULL;
}

static int isa_choose(hawq_model *m, const char *want)
{
    if (!want) want = getenv("HAWQ_ISA");
    int any = !want || !*want;
    for (size_t k = 0; k < HAWQ_ISAS; k++)
        if ((any || !strcmp(want, hawq_isa_names[k])) && cpu_has(hawq_isa_names[k])) {
            m->isa = hawq_isa_names[k];
            m->kernels = hawq_isa_kernels[k];
            return HAWQ_OK;
        }
    return fail(HAWQ_EISA, "%s: %s", any ? "AVX2 is the least" : want, hawq_error(HAWQ_EISA));
}

/* Threads asked for by the options, the environment, or the library's build; 0 where the number is none. */
static int threads_choose(int32_t wanted)
{
    const char *text = getenv("HAWQ_THREADS");
    char *end;
    if (wanted || !text || !*text) return wanted ? (wanted > 0 && wanted <= HAWQ_MAX_THREADS ? wanted : 0) : HAWQ_THREADS;
    long number = strtol(text, &end, 10);
    return *end || number < 1 || number > HAWQ_MAX_THREADS ? 0 : (int)number;
}

static int options_read(const hawq_options *given, hawq_options *out)
{
    *out = (hawq_options){sizeof *out, 0, NULL, NULL};
    if (!given) return HAWQ_OK;
    if (given->size < sizeof given->size || given->size > 4096)
        return fail(HAWQ_EARG, "options.size is %u, not sizeof(hawq_options)", (unsigned)given->size);
    for (size_t i = sizeof *out; i < given->size; i++)
        if (((const uint8_t *)given)[i]) return fail(HAWQ_EARG, "the options hold one that this library does not know: it is older than the header");
    memcpy(out, given, given->size < sizeof *out ? given->size : sizeof *out);
    return HAWQ_OK;
}

void hawq_model_close(hawq_model *m)
{
    if (!m) return;
    int threads = m->team ? m->team->parts : 0;
    team_free(m->team);
    if (m->blob) munmap((void *)(uintptr_t)m->blob, HAWQ_BLOB_SIZE);
    if (m->arena) munmap(m->arena, memory_bytes(threads));
    free(m);
}

static int model_fill(hawq_model *m, const hawq_options *o)
{
    int threads = threads_choose(o->threads), rc = isa_choose(m, o->isa);
    if (rc != HAWQ_OK) return rc;
    if (!threads) return fail(HAWQ_EARG, "the number of threads (options, HAWQ_THREADS) is not from 1 to %d", HAWQ_MAX_THREADS);
    m->team = team_new(threads, work, m);
    if (!m->team) return fail(HAWQ_ENOMEM, "%s", hawq_error(HAWQ_ENOMEM));
    /* Pages that no kernel touches cost nothing. */
    size_t size = memory_bytes(threads);
    void *arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED) return fail(HAWQ_ENOMEM, "%zu bytes for activations: %s", size, strerror(errno));
    m->arena = arena;
    madvise(arena, size, MADV_HUGEPAGE);
    return weights_open(m, o->weights);
}

int hawq_model_open(const hawq_options *options, hawq_model **out)
{
    hawq_options o;
    if (!out) return fail(HAWQ_EARG, "there is nowhere to put the model: a null pointer");
    *out = NULL;
    int rc = options_read(options, &o);
    if (rc != HAWQ_OK) return rc;
    hawq_model *m = calloc(1, sizeof *m);
    if (!m) return fail(HAWQ_ENOMEM, "%s", hawq_error(HAWQ_ENOMEM));
    rc = model_fill(m, &o);
    if (rc != HAWQ_OK) {
        hawq_model_close(m);
        return rc;
    }
    *out = m;
    return HAWQ_OK;
}

int hawq_model_run(hawq_model *m, const void *images, int32_t *logits, size_t count)
{
    return run_checked(m, (hawq_job){images, (uint8_t *)logits, count, NULL, NULL});
}

int hawq_model_trace(hawq_model *m, const void *image, int32_t *logits, int32_t *const *tensors)
{
    if (!tensors) return fail(HAWQ_EARG, "the tensors are a null pointer");
    return run_checked(m, (hawq_job){image, (uint8_t *)logits, 1, tensors, NULL});
}

int hawq_model_profile(hawq_model *m, const void *image, int32_t *logits, uint64_t *nanoseconds)
{
    if (!nanoseconds) return fail(HAWQ_EARG, "the times are a null pointer");
    return run_checked(m, (hawq_job){image, (uint8_t *)logits, 1, NULL, nanoseconds});
}
