/* C interface of a compiled integer network. Linux on x86-64, libc only.
 *
 *     hawq_options options = {.size = sizeof options};
 *     hawq_model *model;
 *     if (hawq_model_open(&options, &model) != HAWQ_OK) fputs(hawq_last_error(), stderr);
 *     hawq_model_run(model, pixels, logits, count);
 *     hawq_model_close(model);
 *
 * Contexts are independent; one context runs one call at a time. Pointers may have any alignment. */
#ifndef HAWQ_RUNTIME_H
#define HAWQ_RUNTIME_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define HAWQ_ABI 2
#define HAWQ_API __attribute__((visibility("default")))
#define HAWQ_MAX_THREADS 256

enum {
    HAWQ_OK = 0,
    HAWQ_EARG = -1,      /* a null pointer, an unknown option, or a number out of range */
    HAWQ_ENOMEM = -2,    /* out of memory */
    HAWQ_EISA = -3,      /* this CPU, or HAWQ_ISA, has no kernels in this library */
    HAWQ_EWEIGHTS = -4,  /* the weight file is missing, damaged, or of another model */
    HAWQ_EBUSY = -5,     /* the context is already running in another thread */
    HAWQ_ETHREAD = -6    /* the system does not start another thread */
};

typedef struct {
    const char *name;
    int32_t element;     /* bytes of one element as it is stored; the input's are uint8, the logits int32 */
    int32_t rank;
    int64_t shape[4];    /* without the batch axis, channels last */
} hawq_io;

typedef struct {
    uint32_t size;       /* sizeof(hawq_options): lets the structure grow */
    int32_t threads;     /* 0: $HAWQ_THREADS, else what the library was built for; the caller's own thread counts */
    const char *isa;     /* NULL: $HAWQ_ISA, else the best this CPU has; or "amx", "vnni", "avxvnni", "avx2" */
    const char *weights; /* NULL: weights.bin beside the library */
} hawq_options;

typedef struct hawq_model hawq_model;

HAWQ_API int hawq_abi(void);           /* HAWQ_ABI of the library */
HAWQ_API const char *hawq_version(void);
HAWQ_API const char *hawq_error(int code);     /* what a code means */
HAWQ_API const char *hawq_last_error(void);    /* why this thread's last failed call failed, in words */

/* What goes in, what comes out, and what is stored on the way. */
HAWQ_API int hawq_input(hawq_io *out);
HAWQ_API int hawq_output(hawq_io *out);
HAWQ_API int hawq_steps(void);
HAWQ_API const char *hawq_step_name(int step);
HAWQ_API int hawq_tensors(void);
HAWQ_API int hawq_tensor(int tensor, hawq_io *out);
HAWQ_API size_t hawq_input_bytes(void);        /* of one image */
HAWQ_API size_t hawq_output_values(void);      /* int32 of one image */

/* Instruction sets in the library that this CPU can run, best first, NULL behind the last. */
HAWQ_API const char *hawq_isa(int i);

HAWQ_API int hawq_model_open(const hawq_options *options, hawq_model **out);
HAWQ_API void hawq_model_close(hawq_model *m);
HAWQ_API const char *hawq_model_isa(const hawq_model *m);
HAWQ_API int hawq_model_threads(const hawq_model *m);

/* `count` dense images in, `count` dense vectors of logits out. */
HAWQ_API int hawq_model_run(hawq_model *m, const void *images, int32_t *logits, size_t count);

/* One image; tensors[i] (dense, may be NULL) receives the values of stored tensor i right after the step that made it. */
HAWQ_API int hawq_model_trace(hawq_model *m, const void *image, int32_t *logits, int32_t *const *tensors);

/* One image; nanoseconds[i] receives the time of step i. */
HAWQ_API int hawq_model_profile(hawq_model *m, const void *image, int32_t *logits, uint64_t *nanoseconds);

#ifdef __cplusplus
}

#if __cplusplus >= 201703L
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace hawq {

class Error : public std::runtime_error {
public:
    explicit Error(int code) : std::runtime_error(hawq_last_error()), code(code) {}
    Error(int code, const std::string &why) : std::runtime_error(why), code(code) {}
    const int code;
};

/* An open network; it closes itself. */
class Model {
public:
    explicit Model(int threads = 0, const char *weights = nullptr, const char *isa = nullptr)
    {
        if (hawq_abi() != HAWQ_ABI) throw Error(HAWQ_EARG, "the library is of another version than the header");
        const hawq_options options = {sizeof options, threads, isa, weights};
        check(hawq_model_open(&options, &model_));
    }
    Model(Model &&other) noexcept : model_(std::exchange(other.model_, nullptr)) {}
    Model &operator=(Model &&other) noexcept
    {
        std::swap(model_, other.model_);
        return *this;
    }
    ~Model() { hawq_model_close(model_); }

    /* Logits of any number of dense images. */
    std::vector<int32_t> run(const uint8_t *images, size_t bytes)
    {
        if (bytes % hawq_input_bytes())
            throw Error(HAWQ_EARG, std::to_string(bytes) + " bytes are no whole number of images of " + std::to_string(hawq_input_bytes()));
        const size_t count = bytes / hawq_input_bytes();
        std::vector<int32_t> logits(count * hawq_output_values());
        check(hawq_model_run(model_, images, logits.data(), count));
        return logits;
    }
    template <class Bytes> std::vector<int32_t> run(const Bytes &images) { return run(images.data(), images.size()); }

    std::string isa() const { return hawq_model_isa(model_); }
    int threads() const { return hawq_model_threads(model_); }
    hawq_model *get() const { return model_; }

private:
    static void check(int code)
    {
        if (code != HAWQ_OK) throw Error(code);
    }
    hawq_model *model_ = nullptr;
};

} /* namespace hawq */
#endif
#endif
#endif
