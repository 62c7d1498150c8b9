// Operators on single pixels: affine maps, additions, moves. A thread makes sixteen channels of one pixel of the result.
#pragma once
#include "tensor.cuh"

namespace hawq {

// The vectors of a result, numbered through.
struct Grid {
    int32_t count;
    Divisor by_chunks, by_width, by_height;
};

inline Grid grid_of(int images, int height, int width, int channels)
{
    const int chunks = (channels + kVector - 1) / kVector;
    return {images * height * width * chunks, divisor_of(chunks), divisor_of(width), divisor_of(height)};
}

struct Item {
    int position, image, y, x, c;
    bool exists;
};

HAWQ_DEVICE Item item_of(const Grid& grid)
{
    const int index = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    Item item;
    item.position = grid.by_chunks.quotient(index);
    item.c = grid.by_chunks.remainder(index, item.position) * kVector;
    const int row = grid.by_width.quotient(item.position);
    item.x = grid.by_width.remainder(item.position, row);
    item.image = grid.by_height.quotient(row);
    item.y = grid.by_height.remainder(row, item.image);
    item.exists = index < grid.count;
    return item;
}

// y = clamp(zero + ((q·m + add) >> s), lo, hi), per channel.
struct alignas(16) AffineChannel {
    int64_t add;
    int32_t multiplier, shift;
};

struct AffineArgs {
    View x, out;
    const int4* channels;  // of AffineChannel, padded to whole vectors
    Grid grid;
    int32_t zero, lo, hi;
};

#ifdef HAWQ_KERNELS
__global__ void __launch_bounds__(256, 2) affine(const __grid_constant__ AffineArgs a)
{
    const Item item = item_of(a.grid);
    if (!item.exists) return;
    int32_t value[kVector];
    load_vector(a.x, item.position, item.c, value);
#pragma unroll
    for (int i = 0; i < kVector; i++) {
        const int4 v = load(a.channels + item.c + i);
        const int64_t add = static_cast<int64_t>(static_cast<uint32_t>(v.x)) | static_cast<int64_t>(static_cast<uint64_t>(static_cast<uint32_t>(v.y)) << 32);
        const int64_t mapped = ((static_cast<int64_t>(value[i]) * v.z + add) >> v.w) + a.zero;
        value[i] = static_cast<int32_t>(mapped < a.lo ? a.lo : mapped > a.hi ? a.hi : mapped);
    }
    store_vector(a.out, item.position, item.c, value);
}
#endif
HAWQ_LAUNCHER(affine, AffineArgs)

struct Sum {
    View out;
    Addend a, b;
    int32_t zero, lo, hi;
};

struct AddArgs {
    Grid grid;
    int32_t count;
    Sum of[kMaxStores];
};

#ifdef HAWQ_KERNELS
__global__ void __launch_bounds__(256, 2) add(const __grid_constant__ AddArgs a)
{
    const Item item = item_of(a.grid);
    if (!item.exists) return;
    for (int s = 0; s < a.count; s++) {
        const Sum& sum = a.of[s];
        int32_t first[kVector], value[kVector];
        load_vector(sum.a.x, item.position, item.c, first);
        if (is_narrow(sum.a)) {
#pragma unroll
            for (int i = 0; i < kVector; i++) value[i] = static_cast<int32_t>(rescale_operand(sum.a, first[i]));
            add_and_clamp(sum.b, item.position, item.c, sum.zero, sum.lo, sum.hi, value);
        } else {
            load_vector(sum.b.x, item.position, item.c, value);
#pragma unroll
            for (int i = 0; i < kVector; i++) {
                const int64_t total = rescale_operand(sum.a, first[i]) + rescale_operand(sum.b, value[i]) + sum.zero;
                value[i] = static_cast<int32_t>(total < sum.lo ? sum.lo : total > sum.hi ? sum.hi : total);
            }
        }
        store_vector(sum.out, item.position, item.c, value);
    }
}
#endif
HAWQ_LAUNCHER(add, AddArgs)

// A window of a tensor: result (y, x, c) is source (y0 + dy·y, x0 + dx·x, c0 + dc·(c − first)), `fill` outside.
struct Part {
    View x;
    int32_t first, last;  // result channels first … last − 1
    int32_t y0, x0, c0, dy, dx, dc;
    int32_t placed;  // the result holds it already
};

constexpr int kMaxParts = 12;
struct GatherArgs {
    View out;
    Grid grid;
    int32_t fill, count;
    Part of[kMaxParts];
};

HAWQ_DEVICE int gathered(const GatherArgs& a, const Part& part, const Item& item, int c)
{
    const int y = part.y0 + part.dy * item.y, x = part.x0 + part.dx * item.x, from = part.c0 + part.dc * (c - part.first);
    const bool inside = static_cast<unsigned>(y) < static_cast<unsigned>(part.x.height) &&
                        static_cast<unsigned>(x) < static_cast<unsigned>(part.x.width) &&
                        static_cast<unsigned>(from) < static_cast<unsigned>(part.x.channels);
    if (!inside) return a.fill;
    const int64_t position = (static_cast<int64_t>(item.image) * part.x.height + y) * part.x.width + x;
    return load_element(part.x, part.x.at(position, from));
}

#ifdef HAWQ_KERNELS
// Concatenation along channels, slices, padding.
__global__ void __launch_bounds__(256, 2) gather(const __grid_constant__ GatherArgs a)
{
    const Item item = item_of(a.grid);
    if (!item.exists) return;
    int32_t value[kVector];
#pragma unroll
    for (int i = 0; i < kVector; i++) value[i] = a.fill;
    bool moved = false;
    for (int p = 0; p < a.count; p++) {
        const Part& part = a.of[p];
        if (part.last <= item.c || part.first >= item.c + kVector) continue;
        moved = moved || !part.placed;
#pragma unroll
        for (int i = 0; i < kVector; i++)
            if (item.c + i >= part.first && item.c + i < part.last) value[i] = gathered(a, part, item, item.c + i);
    }
    if (moved) store_vector(a.out, item.position, item.c, value);
}
#endif
HAWQ_LAUNCHER(gather, GatherArgs)

struct RenumberArgs {
    View x, out;
    Grid grid;
    Divisor by_channels;  // of x
};

#ifdef HAWQ_KERNELS
// The same elements, counted through in (y, x, channel) order, under another shape.
__global__ void __launch_bounds__(256, 2) renumber(const __grid_constant__ RenumberArgs a)
{
    const Item item = item_of(a.grid);
    if (!item.exists) return;
    const int64_t first = static_cast<int64_t>(item.image) * a.x.height * a.x.width;
    int32_t value[kVector];
#pragma unroll
    for (int i = 0; i < kVector; i++) {
        const int c = min(item.c + i, a.out.channels - 1);
        const int index = (item.y * a.out.width + item.x) * a.out.channels + c;
        const int position = a.by_channels.quotient(index);
        value[i] = load_element(a.x, a.x.at(first + position, a.by_channels.remainder(index, position)));
    }
    store_vector(a.out, item.position, item.c, value);
}
#endif
HAWQ_LAUNCHER(renumber, RenumberArgs)

}  // namespace hawq
