/* Device interface of a compiled integer network, beside the host interface of hawq_runtime.h (whose functions take
 * host memory and work on the same contexts). Nothing here allocates or synchronises after hawq_cuda_open: a run can be
 * captured in a CUDA graph. */
#ifndef HAWQ_CUDA_H
#define HAWQ_CUDA_H
#include "hawq_runtime.h"
#ifdef __cplusplus
extern "C" {
#endif

enum {
    HAWQ_EKERNEL = -16, /* a kernel failed; hawq_last_error says why */
    HAWQ_EDEVICE = -17  /* no device, or the CUDA run time refused */
};

typedef struct {
    uint32_t size;       /* sizeof(hawq_cuda_options) */
    int32_t images;      /* most images of one run; 0: the batch the network was built for */
    const char *isa;     /* NULL: that of the current device */
    const char *weights; /* NULL: weights.bin beside the library */
    void *workspace;     /* NULL: allocated; else hawq_cuda_workspace(images) bytes of device memory, aligned to 256 */
} hawq_cuda_options;

/* Bytes of activations for so many images at once; weights come on top. */
HAWQ_API size_t hawq_cuda_workspace(int images);
HAWQ_API size_t hawq_cuda_weights(void);
HAWQ_API int hawq_cuda_batch(void);
HAWQ_API int hawq_cuda_toolkit(void);  /* version of the CUDA run time inside, e.g. 13000; 0 in emulation */
HAWQ_API int hawq_cuda_open(const hawq_cuda_options *options, hawq_model **out);

/* Device pointers: `images` dense uint8 images in, as many dense int32 vectors out. `stream` is a cudaStream_t. */
HAWQ_API int hawq_cuda_run(hawq_model *m, const void *input, void *output, int images, void *stream);

#ifdef __cplusplus
}
#endif
#endif
