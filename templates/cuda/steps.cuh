// What the generated steps are written in: tensors and constants by number, launches by kernel.
#pragma once
#include "conv_direct.cuh"
#include "conv_igemm.cuh"
#include "pools.cuh"

namespace hawq {

struct Tensor {
    const char* name;
    int32_t rank;
    int64_t shape[4];
    int32_t format, bits, height, width, channels, pixel;  // `bits` of one element in memory
    int32_t channel, lanes;                                // bytes of a pixel before its own, and how many elements those are
    int64_t offset;                                        // bytes into the arena for one image; -1 input, -2 output
    int32_t step;                                          // complete after this step; -1 the input

    int64_t pixels(int images) const { return static_cast<int64_t>(images) * height * width; }
    int64_t bytes(int images) const { return (pixels(images) * pixel * bits + 7) / 8; }
};

// One run: where everything lies for so many images. In emulation a step may touch only what it asked for here.
struct Run {
    const Tensor* tensors;
    unsigned char* arena;
    unsigned char* blob;
    unsigned char* input;
    unsigned char* output;
    cudaStream_t stream;
    int images;
    int choice;  // row of the table of architectures

    View view(int t) const
    {
        const Tensor& tensor = tensors[t];
        unsigned char* data = tensor.offset == -1 ? input : tensor.offset == -2 ? output : arena + tensor.offset * images;
        return {data + tensor.channel, tensor.format, tensor.height, tensor.width, tensor.channels, tensor.pixel};
    }
    View in(int t) const { return touched(t, kRead); }
    View out(int t) const { return touched(t, kWrite); }
    View update(int t) const { return touched(t, kUpdate); }  // holds operands of this step already
    unsigned char* constant(int64_t offset, int64_t bytes) const
    {
        touch(blob + offset, 1, bytes, bytes, kRead);
        return blob + offset;
    }
    const int4* channels(int64_t offset, int64_t bytes) const { return reinterpret_cast<const int4*>(constant(offset, bytes)); }
    int32_t* scratch(int64_t offset, int64_t bytes) const
    {
        touch(arena + offset * images, 1, bytes, bytes, kWrite);
        return reinterpret_cast<int32_t*>(arena + offset * images);
    }
    enum Use { kRead, kWrite, kUpdate };
    View touched(int t, Use use) const
    {
        const Tensor& tensor = tensors[t];
        View v = view(t);
        if (tensor.lanes == tensor.pixel) touch(v.data, 1, tensor.bytes(images), tensor.bytes(images), use);
        else touch(v.data, tensor.pixels(images), tensor.pixel * tensor.bits / 8, tensor.lanes * tensor.bits / 8, use);
        return v;
    }
    // `rows` pieces of `bytes` bytes, `pitch` apart.
    static void touch(unsigned char* p, int64_t rows, int64_t pitch, int64_t bytes, Use use)
    {
#ifndef __CUDACC__
        for (int64_t i = 0; use == kWrite && i < rows; i++) emulation::poison(p + i * pitch, static_cast<size_t>(bytes));
        emulation::allow(p, static_cast<size_t>((rows - 1) * pitch + bytes), static_cast<size_t>(pitch), static_cast<size_t>(bytes), use != kRead);
#else
        (void)p, (void)rows, (void)pitch, (void)bytes, (void)use;
#endif
    }
};

struct Step {
    const char* name;
    void (*run)(const Run&);
};

inline int blocks_of(int items) { return (items + kThreads - 1) / kThreads; }
inline Grid grid_of(const Run& r, const View& out) { return grid_of(r.images, out.height, out.width, out.channels); }

inline void launch(const Run& r, AffineArgs a)
{
    a.grid = grid_of(r, a.out);
    launch_affine(a, blocks_of(a.grid.count), r.stream);
}
inline void launch(const Run& r, AddArgs a)
{
    a.grid = grid_of(r, a.of[0].out);
    launch_add(a, blocks_of(a.grid.count), r.stream);
}
inline void launch(const Run& r, MaxPoolArgs a)
{
    a.grid = grid_of(r, a.out);
    launch_max_pool(a, blocks_of(a.grid.count), r.stream);
}
inline void launch(const Run& r, AvgPoolArgs a)
{
    a.grid = grid_of(r, a.stores.of[0].out);
    launch_avg_pool(a, blocks_of(a.grid.count), r.stream);
}
inline void launch(const Run& r, GatherArgs a)
{
    a.grid = grid_of(r, a.out);
    launch_gather(a, blocks_of(a.grid.count), r.stream);
}
inline void launch(const Run& r, RenumberArgs a)
{
    a.grid = grid_of(r, a.out);
    a.by_channels = divisor_of(a.x.channels);
    launch_renumber(a, blocks_of(a.grid.count), r.stream);
}

// The sum over k is split among `parts` blocks of each tile; what each finds meets in scratch memory.
template <class T, Operands kKind, Weights kWeights, bool kWords>
void launch_conv(const Run& r, ConvArgs a, int parts, int64_t scratch)
{
    a.rows = r.images * a.out_height * a.out_width;
    a.part_steps = (a.steps + parts - 1) / parts;
    parts = (a.steps + a.part_steps - 1) / a.part_steps;
    a.by_image = divisor_of(a.out_height * a.out_width);
    a.by_row = divisor_of(a.out_width);
    a.by_depth_bytes = divisor_of(a.depth_bytes);
    a.by_kernel_width = divisor_of(a.kernel_width);
    const int chunks = (a.out_channels + kVector - 1) / kVector;
    const dim3 grid((a.rows + T::kTileM - 1) / T::kTileM, (a.out_channels + T::kTileN - 1) / T::kTileN, parts);
    if (parts > 1) {
        a.partial_row = chunks * kVector;
        a.partial = r.scratch(scratch, static_cast<int64_t>(parts) * a.rows * a.partial_row * 4);
    }
    launch_product<T, kKind, kWeights, kWords>(a, grid, r.stream);
    if (parts == 1) return;
    const ReduceArgs sum = {a.partial, parts, a.rows, a.partial_row, divisor_of(chunks), a.stores};
    launch_reduce_parts(sum, blocks_of(a.rows * chunks), r.stream);
}

template <Reads kReads, bool kBytes> void launch_direct(const Run& r, DirectArgs a, int group_channels)
{
    a.rows = r.images * a.out_height * a.out_width;
    a.by_group = divisor_of(group_channels);
    a.by_vectors = divisor_of(a.vectors);
    a.by_image = divisor_of(a.out_height * a.out_width);
    a.by_row = divisor_of(a.out_width);
    launch_conv_direct<kReads, kBytes>(a, blocks_of(a.rows * a.vectors), r.stream);
}

}  // namespace hawq
