// Convolutions and linear layers as matrix products on tensor cores: out[m][n] = Σ_k a[m][k]·w[n][k] with m = (image,
// y, x), n = output channel, k = (tap row, tap column, channel). A block computes kTileM x kTileN results; 64 bytes of k
// come in per step, through a ring of kStages buffers that are filled while others are multiplied.
#pragma once
#include "tensor.cuh"

namespace hawq {

struct ConvArgs {
    const unsigned char* x;
    const unsigned char* weights;  // [channel][k], rows of `weight_row` bytes, zeros beyond the last k
    const unsigned char* fill;     // 16 bytes of the input's zero point
    int32_t rows;                  // m: images · out_height · out_width
    int32_t height, width, out_height, out_width, out_channels;
    int32_t kernel_height, kernel_width, stride_y, stride_x, dilation_y, dilation_x, pad_top, pad_left;
    int32_t pixel_bytes, depth_bytes;  // from one pixel to the next, and what is read of each
    int32_t steps, weight_row;
    int32_t part_steps;  // of each of the blocks that share a sum
    int32_t* partial;    // [part][m][channels of partial_row], where they leave their parts
    int32_t partial_row;
    Divisor by_image, by_row, by_depth_bytes, by_kernel_width;  // out_height · out_width, out_width, …
    Stores stores;
};

// How bytes stand for operands: as they are, or weights as nibbles under byte activations.
enum Weights : int { kSame, kWidened };

constexpr int kStepBytes = 64, kChunk = 16, kChunks = kStepBytes / kChunk;

// 16-byte chunks of a row are placed so that eight rows of a matrix load never share banks.
HAWQ_DEVICE int swizzle64(int row, int chunk) { return row * 64 + ((chunk ^ (row >> 1 & 3)) << 4); }
HAWQ_DEVICE int swizzle32(int row, int chunk) { return row * 32 + ((chunk ^ (row >> 2 & 1)) << 4); }

template <int kM, int kN, int kWarpM, int kStageCount> struct Tile {
    static constexpr int kTileM = kM, kTileN = kN, kWarpRows = kWarpM, kWarpColumns = 32, kStages = kStageCount;
    static constexpr int kThreads = (kM / kWarpM) * (kN / kWarpColumns) * 32;
    static constexpr int kFragmentsM = kWarpM / 16, kFragmentsN = kWarpColumns / 8;
    static constexpr int kStaged = kWarpColumns + 4;  // words of a staged row: reads of 16 bytes do not share banks
    static constexpr int kStagedBytes = kThreads / 32 * 16 * kStaged * 4;
    HAWQ_BOTH static constexpr int stage_bytes(Weights w) { return kM * 64 + kN * (w == kWidened ? 32 : 64); }
    HAWQ_BOTH static constexpr int shared_bytes(Weights w)
    {
        return kStages * stage_bytes(w) > kStagedBytes ? kStages * stage_bytes(w) : kStagedBytes;
    }
};

// A tap and a byte within its pixel, moved along k without divisions.
struct Place {
    int row, column, byte;

    HAWQ_DEVICE void advance_bytes(int bytes, const ConvArgs& a)
    {
        byte += bytes;
        while (byte >= a.depth_bytes) {
            byte -= a.depth_bytes;
            next_tap(a);
        }
    }
    HAWQ_DEVICE void next_tap(const ConvArgs& a)
    {
        if (++column == a.kernel_width) {
            column = 0;
            ++row;
        }
    }
    HAWQ_DEVICE int offset(const ConvArgs& a) const
    {
        return (row * a.dilation_y * a.width + column * a.dilation_x) * a.pixel_bytes + byte;
    }
};

// Fetches a block's rows of activations and weights, step by step. A thread copies one chunk of several rows.
// kWords: pixels are 4 bytes, so that a chunk holds four taps, each copied by itself.
template <class T, Weights kWeights, bool kWords> struct Loader {
    static constexpr int kRowsEach = (T::kTileM * kChunks + T::kThreads - 1) / T::kThreads;
    static constexpr bool kRagged = T::kTileM * kChunks % T::kThreads != 0;
    static constexpr int kChunksB = kWeights == kWidened ? kChunks / 2 : kChunks;
    static constexpr int kCopiesB = (T::kTileN * kChunksB + T::kThreads - 1) / T::kThreads;
    static_assert(T::kThreads % kChunks == 0);

    const unsigned char* first[kRowsEach];  // of tap (0, 0), possibly outside the map
    uint32_t tap_rows[kRowsEach], tap_columns[kRowsEach];  // bit r: tap row r lies on the map
    Place place;
    int thread;

    HAWQ_DEVICE Loader(const ConvArgs& a, int m0, int step, int thread_) : place{0, 0, 0}, thread(thread_)
    {
        const int k = step * kStepBytes + thread % kChunks * kChunk, tap = a.by_depth_bytes.quotient(k);
        const int tap_row = a.by_kernel_width.quotient(tap);
        place = {tap_row, a.by_kernel_width.remainder(tap, tap_row), a.by_depth_bytes.remainder(k, tap)};
#pragma unroll
        for (int i = 0; i < kRowsEach; i++) {
            const int m = m0 + (thread + i * T::kThreads) / kChunks;
            const int image = a.by_image.quotient(m), pixel = a.by_image.remainder(m, image), row = a.by_row.quotient(pixel);
            const int y = row * a.stride_y - a.pad_top, x = a.by_row.remainder(pixel, row) * a.stride_x - a.pad_left;
            tap_rows[i] = m < a.rows ? taps_inside(y, a.dilation_y, a.kernel_height, a.height) : 0u;
            tap_columns[i] = taps_inside(x, a.dilation_x, a.kernel_width, a.width);
            first[i] = a.x + ((static_cast<int64_t>(image) * a.height + y) * a.width + x) * a.pixel_bytes;
        }
    }

    static HAWQ_DEVICE uint32_t taps_inside(int start, int dilation, int count, int size)
    {
        uint32_t mask = 0;
        for (int t = 0; t < count; t++)
            if (static_cast<unsigned>(start + t * dilation) < static_cast<unsigned>(size)) mask |= 1u << t;
        return mask;
    }

    HAWQ_DEVICE bool inside(int i, const Place& p) const { return tap_rows[i] >> p.row & tap_columns[i] >> p.column & 1u; }

    // Copies step `step` into `stage` and moves on.
    HAWQ_DEVICE void fetch(const ConvArgs& a, unsigned char* stage, int n0, int step)
    {
        const int chunk = thread % kChunks;
        if (!kWords) {
            const int offset = place.offset(a);
#pragma unroll
            for (int i = 0; i < kRowsEach; i++) {
                const int row = (thread + i * T::kThreads) / kChunks;
                if (kRagged && row >= T::kTileM) break;
                copy16_async(stage + swizzle64(row, chunk), inside(i, place) ? first[i] + offset : a.fill, true);
            }
            place.advance_bytes(kStepBytes, a);
        } else {
            Place p = place;
#pragma unroll
            for (int t = 0; t < kChunk / 4; t++) {
#pragma unroll
                for (int i = 0; i < kRowsEach; i++) {
                    const int row = (thread + i * T::kThreads) / kChunks;
                    if (kRagged && row >= T::kTileM) break;
                    copy4_async(stage + swizzle64(row, chunk) + 4 * t, inside(i, p) ? first[i] + p.offset(a) : a.fill, true);
                }
                p.next_tap(a);
            }
            for (int t = 0; t < kStepBytes / 4; t++) place.next_tap(a);
        }
        unsigned char* to = stage + T::kTileM * 64;
#pragma unroll
        for (int i = 0; i < kCopiesB; i++) {
            const int copy = thread + i * T::kThreads, row = copy / kChunksB, c = copy % kChunksB, n = n0 + row;
            if (T::kTileN * kChunksB % T::kThreads != 0 && row >= T::kTileN) break;
            const bool exists = n < a.out_channels;
            const int64_t at = static_cast<int64_t>(n) * a.weight_row + (step * kChunksB + c) * kChunk;
            copy16_async(to + (kWeights == kWidened ? swizzle32(row, c) : swizzle64(row, c)),
                         exists ? a.weights + at : a.weights, exists);
        }
    }
};

// Multiplies one stage: a warp's kFragmentsM x kFragmentsN pieces of 16 x 8, 32 bytes of k at a time.
template <class T, Operands kKind, Weights kWeights>
HAWQ_DEVICE void multiply_stage(int32_t (&acc)[T::kFragmentsM][T::kFragmentsN][4], const unsigned char* stage, int warp_m, int warp_n, int lane)
{
    const unsigned char* weights = stage + T::kTileM * 64;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        uint32_t a[T::kFragmentsM][4], b[T::kFragmentsN][2];
#pragma unroll
        for (int i = 0; i < T::kFragmentsM; i++)
            load_matrix(a[i], stage + swizzle64(warp_m + i * 16 + lane % 16, half * 2 + lane / 16));
        if (kWeights == kWidened) {
            // 16 bytes hold 32 weights: the low halves those of the first 16 bytes of k, the high halves the others.
#pragma unroll
            for (int j = 0; j < T::kFragmentsN; j += 4) {
                uint32_t packed[4];
                load_matrix(packed, weights + swizzle32(warp_n + j * 8 + lane, half));
#pragma unroll
                for (int q = 0; q < 4; q++) {
                    b[j + q][0] = packed[q] << 4 & kUpper;
                    b[j + q][1] = packed[q] & kUpper;
                }
            }
        } else {
#pragma unroll
            for (int j = 0; j < T::kFragmentsN; j += 2) {
                uint32_t pair[4];
                load_matrix(pair, weights + swizzle64(warp_n + j * 8 + lane % 8 + lane / 16 * 8, half * 2 + lane / 8 % 2));
                b[j][0] = pair[0], b[j][1] = pair[1];
                b[j + 1][0] = pair[2], b[j + 1][1] = pair[3];
            }
        }
        multiply<kKind>(acc, a, b);
    }
}

// Rescales a warp's results where they are, turns them through shared memory into rows of sixteen channels, adds,
// clamps, packs and stores those.
template <class T>
HAWQ_DEVICE void store_tile(const ConvArgs& a, const int32_t (&acc)[T::kFragmentsM][T::kFragmentsN][4], int shift, int m0, int n0, int lane, int32_t* staged)
{
    constexpr int kItems = 16 * T::kWarpColumns / kVector / 32;
    for (int s = 0; s < a.stores.count; s++) {
        const Store& store_ = a.stores.of[s];
        Channel channels[T::kFragmentsN][2];
#pragma unroll
        for (int j = 0; j < T::kFragmentsN; j++)
#pragma unroll
            for (int c = 0; c < 2; c++) channels[j][c] = load_channel(store_.channels, n0 + j * 8 + lane % 4 * 2 + c);
#pragma unroll
        for (int i = 0; i < T::kFragmentsM; i++) {
            warp_barrier();
#pragma unroll
            for (int j = 0; j < T::kFragmentsN; j++)
#pragma unroll
                for (int h = 0; h < 2; h++)
                    store_shared(reinterpret_cast<int2*>(staged + (lane / 4 + 8 * h) * T::kStaged + j * 8 + lane % 4 * 2),
                                 make_int2(requantize(acc[i][j][2 * h] >> shift, channels[j][0], store_.wide),
                                           requantize(acc[i][j][2 * h + 1] >> shift, channels[j][1], store_.wide)));
            warp_barrier();
#pragma unroll
            for (int item = 0; item < kItems; item++) {
                const int row = lane % 16, chunk = lane / 16 + 2 * item, m = m0 + i * 16 + row, c = n0 + chunk * kVector;
                int32_t value[kVector];
#pragma unroll
                for (int q = 0; q < 4; q++) {
                    const int4 v = load_shared(reinterpret_cast<const int4*>(staged + row * T::kStaged + chunk * kVector + 4 * q));
                    value[4 * q] = v.x, value[4 * q + 1] = v.y, value[4 * q + 2] = v.z, value[4 * q + 3] = v.w;
                }
                if (m < a.rows && c < a.out_channels) finish(store_, m, c, value);
            }
        }
    }
}

template <class T>
HAWQ_DEVICE void store_partial(const ConvArgs& a, const int32_t (&acc)[T::kFragmentsM][T::kFragmentsN][4], int shift, int m0, int n0, int lane, int part)
{
    int32_t* to = a.partial + static_cast<int64_t>(part) * a.rows * a.partial_row;
#pragma unroll
    for (int i = 0; i < T::kFragmentsM; i++)
#pragma unroll
        for (int j = 0; j < T::kFragmentsN; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const int m = m0 + i * 16 + lane / 4 + 8 * h, n = n0 + j * 8 + lane % 4 * 2;
                if (m < a.rows && n < a.partial_row)
                    store(reinterpret_cast<int2*>(to + static_cast<int64_t>(m) * a.partial_row + n),
                          make_int2(acc[i][j][2 * h] >> shift, acc[i][j][2 * h + 1] >> shift));
            }
}

template <class T, Operands kKind, Weights kWeights, bool kWords> HAWQ_DEVICE void compute_tile(const ConvArgs& a)
{
    unsigned char* shared = shared_memory();
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
    const int warp_m = warp % (T::kTileM / T::kWarpRows) * T::kWarpRows, warp_n = warp / (T::kTileM / T::kWarpRows) * T::kWarpColumns;
    const int m0 = static_cast<int>(blockIdx.x) * T::kTileM, n0 = static_cast<int>(blockIdx.y) * T::kTileN;
    const int parts = static_cast<int>(gridDim.z), part = static_cast<int>(blockIdx.z);
    const int begin = a.part_steps * part, end = min(begin + a.part_steps, a.steps);
    constexpr int kStage = T::stage_bytes(kWeights);

    int32_t acc[T::kFragmentsM][T::kFragmentsN][4] = {};
    Loader<T, kWeights, kWords> loader(a, m0, begin, thread);
#pragma unroll
    for (int s = 0; s < T::kStages - 1; s++) {
        if (begin + s < end) loader.fetch(a, shared + s * kStage, n0, begin + s);
        commit_group();
    }
    int stage = 0;
    for (int step = begin; step < end; step++) {
        wait_group<T::kStages - 2>();
        block_barrier();
        const int next = step + T::kStages - 1, ahead = stage == 0 ? T::kStages - 1 : stage - 1;
        if (next < end) loader.fetch(a, shared + ahead * kStage, n0, next);
        commit_group();
        multiply_stage<T, kKind, kWeights>(acc, shared + stage * kStage, warp_m, warp_n, lane);
        stage = stage + 1 == T::kStages ? 0 : stage + 1;
    }
    wait_group<0>();
    const int shift = widened_shift<kKind>() + (kWeights == kWidened ? kWidenedBits : 0);
    if (parts > 1) {
        store_partial<T>(a, acc, shift, m0 + warp_m, n0 + warp_n, lane, part);
        return;
    }
    block_barrier();
    int32_t* staged = reinterpret_cast<int32_t*>(shared) + warp * 16 * T::kStaged;
    store_tile<T>(a, acc, shift, m0 + warp_m, n0 + warp_n, lane, staged);
}

// gridDim.z blocks share the steps of one tile.
template <class T, Operands kKind, Weights kWeights, bool kWords>
__global__ void __launch_bounds__(T::kThreads, 2) conv_igemm(const __grid_constant__ ConvArgs a)
{
    if constexpr (serves(T::kStages)) compute_tile<T, kKind, kWeights, kWords>(a);
}

template <class T, Operands kKind, Weights kWeights, bool kWords>
void launch_product(const ConvArgs& a, dim3 grid, cudaStream_t stream)
#ifdef HAWQ_KERNELS
{
    HAWQ_LAUNCH((conv_igemm<T, kKind, kWeights, kWords>), grid, dim3(T::kThreads), T::shared_bytes(kWeights), stream, a);
}
#else
;
#endif

struct ReduceArgs {
    const int32_t* partial;
    int32_t parts, rows, partial_row;
    Divisor by_chunks;  // vectors of a row
    Stores stores;
};

#ifdef HAWQ_KERNELS
// Adds what blocks that shared a sum left, and stores the result.
__global__ void __launch_bounds__(256, 2) reduce_parts(const __grid_constant__ ReduceArgs a)
{
    const int item = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x), m = a.by_chunks.quotient(item);
    const int c = a.by_chunks.remainder(item, m) * kVector;
    if (m >= a.rows) return;
    int32_t acc[kVector] = {};
    for (int part = 0; part < a.parts; part++) {
        const int4* from = reinterpret_cast<const int4*>(a.partial + (static_cast<int64_t>(part) * a.rows + m) * a.partial_row + c);
#pragma unroll
        for (int q = 0; q < 4; q++) {
            const int4 v = load(from + q);
            acc[4 * q] += v.x, acc[4 * q + 1] += v.y, acc[4 * q + 2] += v.z, acc[4 * q + 3] += v.w;
        }
    }
    finish_all(a.stores, m, c, c, 1, acc);
}
#endif
HAWQ_LAUNCHER(reduce_parts, ReduceArgs)

}  // namespace hawq
