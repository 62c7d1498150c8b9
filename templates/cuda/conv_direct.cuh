// Convolutions without tensor cores: depthwise ones, groups, and operands wider than 8 bits. A thread computes sixteen
// output channels of one pixel.
#pragma once
#include "tensor.cuh"

namespace hawq {

// Which input channel meets an output channel: all of them (one group), its own (depthwise), those of its group.
enum Reads : int { kAll, kOwn, kGroup };

struct DirectArgs {
    View x;
    const unsigned char* weights;  // [tap][channel of the group][output channel], padded to whole vectors
    int32_t rows, out_height, out_width, out_channels, vectors;
    int32_t kernel_height, kernel_width, stride_y, stride_x, dilation_y, dilation_x, pad_top, pad_left;
    int32_t depth;  // input channels of a group
    Divisor by_group, by_vectors, by_image, by_row;  // output channels of a group, vectors, out_height · out_width, out_width
    int32_t zero;                   // what lies outside the map
    Stores stores;
};

// kBytes: weights are int8, else int32.
template <bool kBytes> HAWQ_DEVICE void load_weights(const unsigned char* weights, int64_t index, int32_t (&to)[kVector])
{
    if (kBytes) {
        const uint4 words = load(reinterpret_cast<const uint4*>(weights + index));
        const uint32_t parts[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
        for (int i = 0; i < kVector; i++) to[i] = byte_of(parts[i / 4], i % 4, true);
    } else {
#pragma unroll
        for (int q = 0; q < 4; q++) {
            const int4 v = load(reinterpret_cast<const int4*>(weights + 4 * index) + q);
            to[4 * q] = v.x, to[4 * q + 1] = v.y, to[4 * q + 2] = v.z, to[4 * q + 3] = v.w;
        }
    }
}

// The products of one tap; `position` is its pixel, negative outside the map.
template <Reads kReads, bool kBytes>
HAWQ_DEVICE void accumulate_tap(const DirectArgs& a, int64_t position, int tap, int c, int32_t (&acc)[kVector])
{
    int32_t w[kVector], x[kVector];
    if constexpr (kReads == kOwn) {
        load_weights<kBytes>(a.weights, static_cast<int64_t>(tap) * a.vectors * kVector + c, w);
        if (position >= 0) load_vector(a.x, position, c, x);
#pragma unroll
        for (int i = 0; i < kVector; i++) acc[i] += w[i] * (position >= 0 ? x[i] : a.zero);
    } else {
        for (int d = 0; d < a.depth; d++) {
            load_weights<kBytes>(a.weights, (static_cast<int64_t>(tap) * a.depth + d) * a.vectors * kVector + c, w);
            if (kReads == kAll) {
                const int32_t one = position >= 0 ? load_element(a.x, a.x.at(position, d)) : a.zero;
#pragma unroll
                for (int i = 0; i < kVector; i++) acc[i] += w[i] * one;
            } else {
#pragma unroll
                for (int i = 0; i < kVector; i++) {
                    const bool exists = position >= 0 && c + i < a.out_channels;
                    const int from = a.by_group.quotient(c + i) * a.depth + d;
                    acc[i] += w[i] * (exists ? load_element(a.x, a.x.at(position, from)) : a.zero);
                }
            }
        }
    }
}

template <Reads kReads, bool kBytes>
__global__ void __launch_bounds__(256, 2) conv_direct(const __grid_constant__ DirectArgs a)
{
    const int item = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x), m = a.by_vectors.quotient(item);
    const int c = a.by_vectors.remainder(item, m) * kVector;
    if (m >= a.rows) return;
    const int image = a.by_image.quotient(m), pixel = a.by_image.remainder(m, image), row = a.by_row.quotient(pixel);
    const int y0 = row * a.stride_y - a.pad_top, x0 = a.by_row.remainder(pixel, row) * a.stride_x - a.pad_left;
    int32_t acc[kVector] = {};
    for (int r = 0; r < a.kernel_height; r++) {
        const int y = y0 + r * a.dilation_y;
        const bool row_inside = static_cast<unsigned>(y) < static_cast<unsigned>(a.x.height);
        for (int s = 0; s < a.kernel_width; s++) {
            const int x = x0 + s * a.dilation_x;
            const bool inside = row_inside && static_cast<unsigned>(x) < static_cast<unsigned>(a.x.width);
            const int64_t position = inside ? (static_cast<int64_t>(image) * a.x.height + y) * a.x.width + x : -1;
            accumulate_tap<kReads, kBytes>(a, position, r * a.kernel_width + s, c, acc);
        }
    }
    finish_all(a.stores, m, c, c, 1, acc);
}

template <Reads kReads, bool kBytes>
void launch_conv_direct(const DirectArgs& a, int blocks, cudaStream_t stream)
#ifdef HAWQ_KERNELS
{
    HAWQ_LAUNCH_SIMPLE((conv_direct<kReads, kBytes>), dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0, stream, a);
}
#else
;
#endif

}  // namespace hawq
