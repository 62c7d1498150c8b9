/* C interface of a compiled integer network. One context runs one inference at a time; contexts are independent. */
#ifndef HAWQ_RUNTIME_H
#define HAWQ_RUNTIME_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define HAWQ_ABI 1
#define HAWQ_API __attribute__((visibility("default")))

enum {
    HAWQ_OK = 0,
    HAWQ_EARG = -1,      /* a null pointer or a structure of unknown size */
    HAWQ_ENOMEM = -2,    /* out of memory */
    HAWQ_EISA = -3,      /* this CPU, or HAWQ_ISA, has no kernels in this library */
    HAWQ_EWEIGHTS = -4,  /* the weight file is missing, damaged, or of another model */
    HAWQ_EBUSY = -5      /* the context is already running in another thread */
};

typedef struct {
    const char *name;
    int32_t element;     /* bytes of one element: 1 (uint8) or 4 (int32) */
    int32_t rank;
    int64_t shape[4];    /* without the batch axis */
} hawq_io;

typedef struct {
    uint32_t size;       /* sizeof(hawq_options): lets the structure grow */
    const char *isa;     /* NULL: $HAWQ_ISA, else the best this CPU has; or "vnni", "avxvnni", "avx2" */
    const char *weights; /* NULL: weights.bin beside the library */
} hawq_options;

typedef struct hawq_model hawq_model;

HAWQ_API int hawq_abi(void);
HAWQ_API const char *hawq_version(void);
HAWQ_API const char *hawq_error(int code);

/* What goes in, what comes out, and what is stored on the way. */
HAWQ_API int hawq_input(hawq_io *out);
HAWQ_API int hawq_output(hawq_io *out);
HAWQ_API int hawq_steps(void);
HAWQ_API const char *hawq_step_name(int step);
HAWQ_API int hawq_tensors(void);
HAWQ_API int hawq_tensor(int tensor, hawq_io *out);

/* Instruction sets in the library that this CPU can run, best first, NULL behind the last. */
HAWQ_API const char *hawq_isa(int i);

HAWQ_API int hawq_model_open(const hawq_options *options, hawq_model **out);
HAWQ_API void hawq_model_close(hawq_model *m);
HAWQ_API const char *hawq_model_isa(const hawq_model *m);

/* `count` dense images in, `count` dense vectors of logits out; any alignment. */
HAWQ_API int hawq_model_run(hawq_model *m, const uint8_t *images, int32_t *logits, size_t count);

/* One image; tensors[i] (dense, may be NULL) receives the values of stored tensor i right after the step that made it. */
HAWQ_API int hawq_model_trace(hawq_model *m, const uint8_t *image, int32_t *logits, int32_t *const *tensors);

/* One image; nanoseconds[i] receives the time of step i. */
HAWQ_API int hawq_model_profile(hawq_model *m, const uint8_t *image, int32_t *logits, uint64_t *nanoseconds);

#ifdef __cplusplus
}
#endif
#endif
