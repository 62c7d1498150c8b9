/* Runs the network on one image: `example IMAGE [THREADS]`. IMAGE holds the bytes of its pixels, channels last.
 *
 *     cc -I. example.c model.so -Wl,-rpath,'$ORIGIN' -o example */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "hawq_runtime.h"

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, hawq_last_error());
    return 1;
}

static void describe(const char *what, const hawq_io *io)
{
    printf("%s: %s[", what, io->element == 1 ? "uint8" : "int32");
    for (int i = 0; i < io->rank; i++) printf("%s%" PRId64, i ? ", " : "", io->shape[i]);
    printf("]\n");
}

/* The bytes of a file that must have exactly `size` of them; NULL and a message where it has not. */
static uint8_t *read_image(const char *path, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    FILE *file = fopen(path, "rb");
    size_t found = file && bytes ? fread(bytes, 1, size + 1, file) : 0;
    if (file) fclose(file);
    if (bytes && file && found == size) return bytes;
    if (!file) fprintf(stderr, "%s cannot be opened\n", path);
    else fprintf(stderr, "%s has %s than the %zu bytes of an image\n", path, found < size ? "fewer" : "more", size);
    free(bytes);
    return NULL;
}

int main(int count, char **arguments)
{
    if (count < 2) {
        fprintf(stderr, "usage: %s IMAGE [THREADS]\n", arguments[0]);
        return 2;
    }
    if (hawq_abi() != HAWQ_ABI) {
        fprintf(stderr, "the library is of another version than the header\n");
        return 1;
    }
    hawq_options options = {.size = sizeof options, .threads = count > 2 ? atoi(arguments[2]) : 0};
    hawq_model *model;
    if (hawq_model_open(&options, &model) != HAWQ_OK) return failed("open");
    hawq_io input, output;
    if (hawq_input(&input) != HAWQ_OK || hawq_output(&output) != HAWQ_OK) return failed("describe");
    describe("input", &input);
    describe("output", &output);
    printf("kernels: %s, threads: %d\n", hawq_model_isa(model), hawq_model_threads(model));

    uint8_t *image = read_image(arguments[1], hawq_input_bytes());
    int32_t *logits = calloc(hawq_output_values(), sizeof *logits);
    if (!image || !logits) return 1;
    if (hawq_model_run(model, image, logits, 1) != HAWQ_OK) return failed("run");
    size_t best = 0;
    for (size_t i = 0; i < hawq_output_values(); i++) best = logits[i] > logits[best] ? i : best;
    printf("class %zu, logit %" PRId32 "\n", best, logits[best]);
    free(image);
    free(logits);
    hawq_model_close(model);
    return 0;
}
