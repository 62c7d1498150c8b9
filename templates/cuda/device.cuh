// Everything a kernel asks of the machine: memory, barriers, asynchronous copies, matrix products.
// Under nvcc this is the only file with PTX; under a host compiler the same functions check what they are asked to do
// (emulation.hpp), so that kernels can be proven without a GPU.
#pragma once
#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#define HAWQ_BOTH __host__ __device__
#else
#define HAWQ_BOTH
#endif

namespace hawq {

// What a matrix product reads: activations (signed or not, bytes or nibbles) times signed weights of the same width.
enum Operands : int { kU8S8, kS8S8, kU4S4, kS4S4 };

HAWQ_BOTH constexpr bool is_nibbles(Operands kind) { return kind == kU4S4 || kind == kS4S4; }
HAWQ_BOTH constexpr bool is_signed(Operands kind) { return kind == kS8S8 || kind == kS4S4; }

// The upper half of a byte counts 16 times: nibbles become bytes that are 16 times as large, without sign extension.
constexpr uint32_t kUpper = 0xF0F0F0F0u, kLower = 0x0F0F0F0Fu;
constexpr int kWidenedBits = 4;

}  // namespace hawq

#ifndef __CUDACC__
#include "emulation.hpp"
#else
#include <cuda_runtime.h>

#define HAWQ_DEVICE __device__ __forceinline__
#define HAWQ_LAUNCH(kernel, grid, block, shared, stream, ...) kernel<<<grid, block, shared, stream>>>(__VA_ARGS__)
#define HAWQ_LAUNCH_SIMPLE HAWQ_LAUNCH  // the kernel has no barrier and no collective

namespace hawq {

#ifdef __CUDA_ARCH__
constexpr int kArch = __CUDA_ARCH__;
#else
constexpr int kArch = 0;
#endif

template <class T> HAWQ_DEVICE T load(const T* p) { return *p; }
template <class T> HAWQ_DEVICE void store(T* p, T value) { *p = value; }

HAWQ_DEVICE unsigned char* shared_memory()
{
    extern __shared__ __align__(128) unsigned char memory[];
    return memory;
}
template <class T> HAWQ_DEVICE T load_shared(const T* p) { return *p; }
template <class T> HAWQ_DEVICE void store_shared(T* p, T value) { *p = value; }

HAWQ_DEVICE void block_barrier() { __syncthreads(); }
HAWQ_DEVICE void warp_barrier() { __syncwarp(); }

HAWQ_DEVICE uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// Copies 16 bytes from global to shared memory, zeros where `valid` is not set; visible to this thread after
// `wait_group`, to others after a barrier behind it. Before sm_80 it goes through registers at once.
HAWQ_DEVICE void copy16_async(void* to, const void* from, bool valid)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0));
#else
    *static_cast<uint4*>(to) = valid ? *static_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
#endif
}
HAWQ_DEVICE void copy4_async(void* to, const void* from, bool valid)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 4 : 0));
#else
    *static_cast<uint32_t*>(to) = valid ? *static_cast<const uint32_t*>(from) : 0u;
#endif
}
HAWQ_DEVICE void commit_group()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;");
#endif
}
// Waits until at most `kPending` of this thread's groups are still on their way.
template <int kPending> HAWQ_DEVICE void wait_group()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

// Four 8x16-byte matrices: lane 8·q + r gives the address of row r of matrix q.
HAWQ_DEVICE void load_matrix(uint32_t (&to)[4], const void* row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// c += a·b: 16 rows of 32 bytes times 8 columns of 32 bytes. m8n8 pieces of sm_75 lie as those of m16n8 do.
#define HAWQ_MMA_16(shape, types)                                                                                   \
    asm volatile("mma.sync.aligned." shape ".row.col.s32." types ".s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])                                                     \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#define HAWQ_MMA_8(shape, types, c0, c1, a0, b0)                                                                    \
    asm volatile("mma.sync.aligned." shape ".row.col.s32." types ".s32 {%0,%1}, {%2}, {%3}, {%0,%1};"                \
                 : "+r"(c0), "+r"(c1)                                                                                 \
                 : "r"(a0), "r"(b0))
#define HAWQ_MMA_8X4(shape, types)                      \
    HAWQ_MMA_8(shape, types, c[0], c[1], a[0], b[0]);   \
    HAWQ_MMA_8(shape, types, c[0], c[1], a[2], b[1]);   \
    HAWQ_MMA_8(shape, types, c[2], c[3], a[1], b[0]);   \
    HAWQ_MMA_8(shape, types, c[2], c[3], a[3], b[1])

template <Operands kKind>
HAWQ_DEVICE void multiply_native(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#if __CUDA_ARCH__ >= 800
    if constexpr (kKind == kU8S8) HAWQ_MMA_16("m16n8k32", "u8.s8");
    if constexpr (kKind == kS8S8) HAWQ_MMA_16("m16n8k32", "s8.s8");
#if __CUDA_ARCH__ < 900
    if constexpr (kKind == kU4S4) HAWQ_MMA_16("m16n8k64", "u4.s4");
    if constexpr (kKind == kS4S4) HAWQ_MMA_16("m16n8k64", "s4.s4");
#endif
#else
    if constexpr (kKind == kU8S8) { HAWQ_MMA_8X4("m8n8k16", "u8.s8"); }
    if constexpr (kKind == kS8S8) { HAWQ_MMA_8X4("m8n8k16", "s8.s8"); }
    if constexpr (kKind == kU4S4) { HAWQ_MMA_8X4("m8n8k32", "u4.s4"); }
    if constexpr (kKind == kS4S4) { HAWQ_MMA_8X4("m8n8k32", "s4.s4"); }
#endif
}

// A warp's whole tile: c[i][j] += a[i]·b[j].
template <Operands kKind, int kRows, int kColumns>
HAWQ_DEVICE void multiply_tile(int32_t (&c)[kRows][kColumns][4], const uint32_t (&a)[kRows][4], const uint32_t (&b)[kColumns][2])
{
#pragma unroll
    for (int i = 0; i < kRows; i++)
#pragma unroll
        for (int j = 0; j < kColumns; j++) multiply_native<kKind>(c[i][j], a[i], b[j]);
}

HAWQ_DEVICE int32_t multiply_high(int32_t a, int32_t b) { return __mulhi(a, b); }
HAWQ_DEVICE uint32_t multiply_high_unsigned(uint32_t a, uint32_t b) { return __umulhi(a, b); }

// Rings of two buffers are for machines without asynchronous copies, longer ones for the others: neither is compiled for
// the wrong machine.
HAWQ_DEVICE constexpr bool serves(int stages) { return (stages == 2) == (kArch < 800); }

// From sm_90 on there are no products of nibbles.
HAWQ_DEVICE constexpr bool has_nibble_products() { return kArch < 900; }

}  // namespace hawq
#endif

// Kernels are compiled apart from the network (HAWQ_KERNELS), so that an object serves every network; the network sees
// what starts them. A host compiles all of it at once.
#ifdef HAWQ_KERNELS
#define HAWQ_LAUNCHER(kernel, Args)                                                                         \
    void launch_##kernel(const Args& a, int blocks, [[maybe_unused]] cudaStream_t stream)                   \
    {                                                                                                       \
        HAWQ_LAUNCH_SIMPLE(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0, stream, a);      \
    }
#else
#define HAWQ_LAUNCHER(kernel, Args) void launch_##kernel(const Args& a, int blocks, cudaStream_t stream);
#endif

namespace hawq {

inline constexpr int kThreads = 256;  // of a block without collectives

// As multiply_tile, with nibbles widened in registers where the machine has no products of them: even elements meet
// even ones, odd ones odd ones. Weights then count 16 times, and so do signed activations: see `widened_shift`.
template <Operands kKind, int kRows, int kColumns>
HAWQ_DEVICE void multiply(int32_t (&c)[kRows][kColumns][4], const uint32_t (&a)[kRows][4], const uint32_t (&b)[kColumns][2])
{
    if (!is_nibbles(kKind) || has_nibble_products()) {
        multiply_tile<kKind>(c, a, b);
        return;
    }
    constexpr bool kSigned = is_signed(kKind);
    uint32_t wide_a[kRows][4], wide_b[kColumns][2];
#pragma unroll
    for (int odd = 0; odd < 2; odd++) {
#pragma unroll
        for (int i = 0; i < kRows; i++)
#pragma unroll
            for (int k = 0; k < 4; k++) {
                if (kSigned) wide_a[i][k] = (odd ? a[i][k] : a[i][k] << 4) & kUpper;
                else wide_a[i][k] = (odd ? a[i][k] >> 4 : a[i][k]) & kLower;
            }
#pragma unroll
        for (int j = 0; j < kColumns; j++)
#pragma unroll
            for (int k = 0; k < 2; k++) wide_b[j][k] = (odd ? b[j][k] : b[j][k] << 4) & kUpper;
        multiply_tile<kSigned ? kS8S8 : kU8S8>(c, wide_a, wide_b);
    }
}

// By how many bits the sums of `multiply` are too large.
template <Operands kKind> HAWQ_DEVICE int widened_shift()
{
    if (!is_nibbles(kKind) || has_nibble_products()) return 0;
    return is_signed(kKind) ? 2 * kWidenedBits : kWidenedBits;
}

}  // namespace hawq
