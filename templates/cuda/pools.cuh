// Maxima and means of windows. A thread makes sixteen channels of one pixel of the result.
#pragma once
#include "maps.cuh"

namespace hawq {

struct Window {
    int32_t height, width, stride_y, stride_x, dilation_y, dilation_x, pad_top, pad_left;
};

struct MaxPoolArgs {
    View x, out;
    Window window;
    Grid grid;
};

#ifdef HAWQ_KERNELS
// Padding never wins: what lies outside the map is not looked at.
__global__ void __launch_bounds__(256, 2) max_pool(const __grid_constant__ MaxPoolArgs a)
{
    const Item item = item_of(a.grid);
    if (!item.exists) return;
    int32_t best[kVector];
#pragma unroll
    for (int i = 0; i < kVector; i++) best[i] = INT32_MIN;
    for (int r = 0; r < a.window.height; r++) {
        const int y = item.y * a.window.stride_y - a.window.pad_top + r * a.window.dilation_y;
        if (static_cast<unsigned>(y) >= static_cast<unsigned>(a.x.height)) continue;
        for (int s = 0; s < a.window.width; s++) {
            const int x = item.x * a.window.stride_x - a.window.pad_left + s * a.window.dilation_x;
            if (static_cast<unsigned>(x) >= static_cast<unsigned>(a.x.width)) continue;
            int32_t value[kVector];
            load_vector(a.x, (static_cast<int64_t>(item.image) * a.x.height + y) * a.x.width + x, item.c, value);
#pragma unroll
            for (int i = 0; i < kVector; i++) best[i] = max(best[i], value[i]);
        }
    }
    store_vector(a.out, item.position, item.c, best);
}
#endif
HAWQ_LAUNCHER(max_pool, MaxPoolArgs)

struct AvgPoolArgs {
    View x;
    Window window;
    const unsigned char* which;  // [out_y][out_x]: the population of the window, an index into the stores' parameters
    Grid grid;
    int32_t out_width, zero;
    Stores stores;
};

#ifdef HAWQ_KERNELS
// R(Σ(q − z)), with one over the number of elements inside the dyadic number of the window's population.
__global__ void __launch_bounds__(256, 2) avg_pool(const __grid_constant__ AvgPoolArgs a)
{
    const Item item = item_of(a.grid);
    if (!item.exists) return;
    int32_t acc[kVector] = {};
    for (int r = 0; r < a.window.height; r++) {
        const int y = item.y * a.window.stride_y - a.window.pad_top + r;
        if (static_cast<unsigned>(y) >= static_cast<unsigned>(a.x.height)) continue;
        for (int s = 0; s < a.window.width; s++) {
            const int x = item.x * a.window.stride_x - a.window.pad_left + s;
            if (static_cast<unsigned>(x) >= static_cast<unsigned>(a.x.width)) continue;
            int32_t value[kVector];
            load_vector(a.x, (static_cast<int64_t>(item.image) * a.x.height + y) * a.x.width + x, item.c, value);
#pragma unroll
            for (int i = 0; i < kVector; i++) acc[i] += value[i] - a.zero;
        }
    }
    finish_all(a.stores, item.position, item.c, load(a.which + item.y * a.out_width + item.x), 0, acc);
}
#endif
HAWQ_LAUNCHER(avg_pool, AvgPoolArgs)

}  // namespace hawq
