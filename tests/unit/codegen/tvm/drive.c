/* What a program can do with a network, done under sanitizers: `drive IMAGES LOGITS COUNT WEIGHTS THREADS`.
 * Linked with the run time and the kernels into one program, so that both are instrumented alike. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hawq_runtime.h"

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (condition) break;                                                         \
        fprintf(stderr, "line %d: " #condition ": %s\n", __LINE__, hawq_last_error()); \
        exit(1);                                                                      \
    } while (0)

static uint8_t *images;
static int32_t *expected;
static size_t count, bytes, values;
static hawq_options options = {.size = sizeof options};

static void *read_file(const char *path, size_t size, size_t offset)
{
    uint8_t *data = malloc(size + offset);
    FILE *file = fopen(path, "rb");
    CHECK(data && file && fread(data + offset, 1, size, file) == size);
    fclose(file);
    return data;
}

static void run(hawq_model *m, size_t first, size_t number)
{
    uint8_t *space = malloc(number * values * 4 + 1), *image = malloc(number * bytes + 1);
    int32_t *logits = (int32_t *)(space + 1); /* of any alignment, and nothing may lie behind */
    memcpy(image + 1, images + first * bytes, number * bytes);
    int code = hawq_model_run(m, image + 1, logits, number);
    CHECK(code == HAWQ_OK || code == HAWQ_EBUSY);
    if (code == HAWQ_OK) CHECK(!memcmp(logits, expected + first * values, number * values * 4));
    free(space);
    free(image);
}

static void *run_often(void *m)
{
    for (int i = 0; i < 20; i++) run(m, 0, count);
    return NULL;
}

static void *open_and_run(void *unused)
{
    hawq_model *m;
    CHECK(hawq_model_open(&options, &m) == HAWQ_OK);
    run_often(m);
    hawq_model_close(m);
    return unused;
}

static void trace(hawq_model *m)
{
    int tensors = hawq_tensors();
    int32_t **out = calloc((size_t)tensors, sizeof *out), *logits = malloc(values * 4);
    for (int i = 0; i < tensors; i++) {
        hawq_io io;
        CHECK(hawq_tensor(i, &io) == HAWQ_OK);
        size_t size = 4;
        for (int d = 0; d < io.rank; d++) size *= (size_t)io.shape[d];
        out[i] = malloc(size);
    }
    uint64_t *times = calloc((size_t)hawq_steps(), sizeof *times);
    CHECK(hawq_model_trace(m, images, logits, out) == HAWQ_OK && !memcmp(logits, expected, values * 4));
    CHECK(hawq_model_profile(m, images, logits, times) == HAWQ_OK && !memcmp(logits, expected, values * 4));
    for (int i = 0; i < tensors; i++) free(out[i]);
    free(out);
    free(times);
    free(logits);
}

static void fork_and_run(hawq_model *m)
{
    pid_t child = fork();
    int status = 0;
    if (child == 0) {
        run(m, 0, count);
        hawq_model_close(m);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void misuse(void)
{
    struct {
        hawq_options known;
        uint64_t unknown;
    } newer = {options, 1};
    hawq_options small = {.size = 2}, odd = {.size = sizeof odd, .isa = "sse9"}, lost = {.size = sizeof lost, .weights = "/nowhere"};
    hawq_model *m;
    newer.known.size = sizeof newer;
    CHECK(hawq_model_open(&options, NULL) == HAWQ_EARG);
    CHECK(hawq_model_open(&small, &m) == HAWQ_EARG && !m);
    CHECK(hawq_model_open(&newer.known, &m) == HAWQ_EARG && strstr(hawq_last_error(), "does not know"));
    CHECK(hawq_model_open(&odd, &m) == HAWQ_EISA && strstr(hawq_last_error(), "sse9"));
    CHECK(hawq_model_open(&lost, &m) == HAWQ_EWEIGHTS && strstr(hawq_last_error(), "/nowhere"));
    newer.unknown = 0;
    CHECK(hawq_model_open(&newer.known, &m) == HAWQ_OK);
    CHECK(hawq_model_run(m, NULL, expected, 1) == HAWQ_EARG && hawq_model_run(m, images, NULL, 1) == HAWQ_EARG);
    CHECK(hawq_model_run(m, NULL, NULL, 0) == HAWQ_OK && hawq_model_run(NULL, images, expected, 1) == HAWQ_EARG);
    CHECK(hawq_model_run(m, images, expected, SIZE_MAX) == HAWQ_EARG);
    CHECK(hawq_model_trace(m, images, expected, NULL) == HAWQ_EARG && hawq_tensor(-1, NULL) == HAWQ_EARG);
    hawq_model_close(m);
    hawq_model_close(NULL);
}

int main(int arguments, char **argument)
{
    hawq_model *m;
    pthread_t threads[4];
    CHECK(arguments == 6);
    count = (size_t)atoi(argument[3]);
    bytes = hawq_input_bytes();
    values = hawq_output_values();
    images = read_file(argument[1], count * bytes, 0);
    expected = read_file(argument[2], count * values * 4, 0);
    options.weights = argument[4];
    options.threads = atoi(argument[5]);
    misuse();
    CHECK(hawq_model_open(&options, &m) == HAWQ_OK && hawq_model_threads(m) == options.threads);
    if (!getenv("WITHOUT_FORK")) fork_and_run(m);
    for (size_t i = 0; i <= count; i++) run(m, 0, i);
    trace(m);
    if (!getenv("WITHOUT_FORK")) fork_and_run(m);
    for (int i = 0; i < 4; i++) CHECK(!pthread_create(&threads[i], NULL, i % 2 ? open_and_run : run_often, m));
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    run(m, 0, count);
    hawq_model_close(m);
    free(images);
    free(expected);
    return 0;
}
