// device.cuh for a host: one fiber per CUDA thread, blocks one after another, every access checked.
// What is found: global accesses outside the buffers that a step was given, unaligned ones, shared memory read before it
// is written, races of shared memory (two threads touch the same word, one of them writes, no barrier between), copies
// read before they were waited for, lanes that part at a collective, barriers that not all threads reach, rows of a
// matrix load that share banks. A finding is a hawq::emulation::Fault.
// What cannot be found: an error in the PTX itself, and speed.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>
#ifndef __x86_64__
#include <ucontext.h>
#endif

#define HAWQ_DEVICE inline
#define __global__
#define __launch_bounds__(...)
#define __grid_constant__
#define __restrict__ __restrict
#define HAWQ_KERNELS
typedef void* cudaStream_t;

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) int2 { int x, y; };
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }

namespace hawq::emulation {

struct Fault : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class State : uint8_t { ready, at_collective, at_barrier, done };
enum class Collective : int { load_matrix, multiply, warp_barrier };

// A copy on its way: the bytes were read when it was issued and arrive when it is waited for.
struct Copy {
    unsigned char* to;
    uint32_t size;
    unsigned char bytes[16];
};

struct Fiber {
    dim3 thread;
    int number = 0, lane = 0, warp = 0;
    State state = State::ready;
    void* operands[3] = {};
    Collective at = Collective::warp_barrier;
    int detail = 0;
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> groups;
    std::vector<char> stack;
#ifdef __x86_64__
    void* pointer = nullptr;
#else
    ucontext_t context;
#endif
};

// The last write and read of a word of shared memory, in counts of barriers.
struct Word {
    int32_t writer = -1, reader = -1, reader_warp = -1;  // -2 for several
    uint32_t write_block = 0, write_warp = 0, read_block = 0, read_warp = 0;
    bool pending = false;
};

// Pieces of `width` bytes, `pitch` apart.
struct Buffer {
    const char* begin;
    const char* end;
    size_t pitch, width;
    bool writable;

    bool holds(const char* at, size_t size) const
    {
        return at >= begin && at + size <= end && (pitch == width || static_cast<size_t>(at - begin) % pitch + size <= width);
    }
};

inline constexpr int kSeveral = -2;
inline constexpr unsigned char kPoison = 0xA5;
inline constexpr size_t kStack = 96 << 10;
inline constexpr int kLanes = 32;

struct Machine {
    int arch = 800;
    std::vector<Buffer> buffers;
    std::vector<Fiber> fibers;
    std::vector<int> arrived;
    std::vector<uint32_t> warp_barriers;
    uint32_t block_barriers = 0;
    Fiber* current = nullptr;
    dim3 block, block_size, grid;
    std::vector<unsigned char> storage;
    unsigned char* shared = nullptr;
    size_t shared_size = 0;
    std::vector<Word> words;
    bool collective = false;  // whether the kernel may meet others
    void (*body)(void*) = nullptr;
    void* arguments = nullptr;
    std::string fault;
#ifdef __x86_64__
    void* pointer = nullptr;
#else
    ucontext_t context;
#endif
};

inline Machine& machine()
{
    static thread_local Machine m;
    return m;
}

[[noreturn]] inline void fail(const char* what)
{
    Machine& m = machine();
    char text[256];
    std::snprintf(text, sizeof text, "%s (block %u,%u,%u, thread %d)", what, m.block.x, m.block.y, m.block.z,
                  m.current ? m.current->number : -1);
    throw Fault(text);
}

// ---- switching ----

#ifdef __x86_64__
extern "C" void hawq_emulation_switch(void** save, void* load);
asm(R"(
.text
.weak hawq_emulation_switch
.type hawq_emulation_switch,@function
hawq_emulation_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size hawq_emulation_switch,.-hawq_emulation_switch
)");
inline void leave() { hawq_emulation_switch(&machine().current->pointer, machine().pointer); }
inline void enter(Fiber& f)
{
    machine().current = &f;
    hawq_emulation_switch(&machine().pointer, f.pointer);
}
#else
inline void leave() { swapcontext(&machine().current->context, &machine().context); }
inline void enter(Fiber& f)
{
    machine().current = &f;
    swapcontext(&machine().context, &f.context);
}
#endif

inline void entry()
{
    Machine& m = machine();
    try {
        m.body(m.arguments);
        if (!m.current->open.empty() || !m.current->groups.empty()) fail("a thread ended with copies on their way");
    } catch (const std::exception& e) {
        if (m.fault.empty()) m.fault = e.what();
    }
    m.current->state = State::done;
    leave();
    std::abort();
}

inline void prepare(Fiber& f)
{
    f.state = State::ready;
    f.open.clear();
    f.groups.clear();
    f.stack.resize(kStack);
#ifdef __x86_64__
    uintptr_t top = (reinterpret_cast<uintptr_t>(f.stack.data()) + f.stack.size()) & ~uintptr_t{15};
    void** s = reinterpret_cast<void**>(top);
    *--s = nullptr;
    *--s = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; i++) *--s = nullptr;
    f.pointer = s;
#else
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.data();
    f.context.uc_stack.ss_size = f.stack.size();
    f.context.uc_link = nullptr;
    makecontext(&f.context, entry, 0);
#endif
}

// The last lane to arrive does the work of all; `detail` tells apart collectives of one kind.
template <class Work> void meet(Collective at, int detail, void* a, void* b, void* c, Work work)
{
    Machine& m = machine();
    if (!m.collective) fail("a kernel without collectives reached one");
    Fiber* self = m.current;
    self->operands[0] = a;
    self->operands[1] = b;
    self->operands[2] = c;
    self->at = at;
    self->detail = detail;
    if (++m.arrived[self->warp] < kLanes) {
        self->state = State::at_collective;
        leave();
        return;
    }
    Fiber* lanes = &m.fibers[self->warp * kLanes];
    for (int i = 0; i < kLanes; i++)
        if (lanes[i].at != at || lanes[i].detail != detail) fail("lanes of one warp met at different collectives");
    m.arrived[self->warp] = 0;
    for (int i = 0; i < kLanes; i++) lanes[i].state = State::ready;
    work(lanes);
}

// ---- memory ----

inline void check_global(const void* p, size_t size, size_t alignment, bool write)
{
    if (reinterpret_cast<uintptr_t>(p) % alignment) fail("unaligned global access");
    const char* at = static_cast<const char*>(p);
    for (const Buffer& b : machine().buffers)
        if ((b.writable || !write) && b.holds(at, size)) return;
    fail(write ? "global write outside the step's results" : "global read outside the step's buffers");
}

inline Word* shared_words(const void* p, size_t size, size_t alignment)
{
    Machine& m = machine();
    const unsigned char* at = static_cast<const unsigned char*>(p);
    if (at < m.shared || at + size > m.shared + m.shared_size) fail("shared memory out of bounds");
    if (static_cast<size_t>(at - m.shared) % alignment) fail("unaligned shared access");
    return &m.words[static_cast<size_t>(at - m.shared) / 4];
}

// Whether something thread `other` did is ordered before what `self` does now.
inline bool ordered(const Fiber& self, int other, uint32_t block, uint32_t warp)
{
    Machine& m = machine();
    if (other == self.number || block != m.block_barriers) return true;
    return other >= 0 && other / kLanes == self.warp && warp != m.warp_barriers[self.warp];
}

inline void note_read(const Fiber& self, const void* p, size_t size, size_t alignment)
{
    Machine& m = machine();
    Word* w = shared_words(p, size, alignment);
    for (size_t i = 0; i < (size + 3) / 4; i++, w++) {
        if (w->pending) fail("shared memory read before its copy was waited for");
        if (w->writer == -1) fail("shared memory read before it was written");
        if (!ordered(self, w->writer, w->write_block, w->write_warp)) fail("race: shared memory read without a barrier after the write");
        bool first = w->reader == -1 || w->read_block != m.block_barriers;
        w->reader = first || w->reader == self.number ? self.number : kSeveral;
        w->reader_warp = first || w->reader_warp == self.warp ? self.warp : kSeveral;
        w->read_block = m.block_barriers;
        w->read_warp = m.warp_barriers[self.warp];
    }
}

inline void note_write(const Fiber& self, const void* p, size_t size, size_t alignment, bool pending)
{
    Machine& m = machine();
    Word* w = shared_words(p, size, alignment);
    for (size_t i = 0; i < (size + 3) / 4; i++, w++) {
        if (w->pending && pending) fail("race: two copies to one place");
        bool after_write = w->writer == -1 || ordered(self, w->writer, w->write_block, w->write_warp);
        bool after_read = w->reader == -1 || w->reader == self.number || w->read_block != m.block_barriers ||
                          (w->reader_warp == self.warp && w->read_warp != m.warp_barriers[self.warp]);
        if (!after_write) fail("race: shared memory written twice without a barrier");
        if (!after_read) fail("race: shared memory overwritten without a barrier after the read");
        w->writer = self.number;
        w->write_block = m.block_barriers;
        w->write_warp = m.warp_barriers[self.warp];
        w->pending = pending;
    }
}

inline void copy_async(void* to, const void* from, uint32_t size, bool valid)
{
    Machine& m = machine();
    Copy copy{static_cast<unsigned char*>(to), size, {}};
    if (valid) {
        check_global(from, size, size, false);
        std::memcpy(copy.bytes, from, size);
    }
    bool later = m.arch >= 800;
    note_write(*m.current, to, size, size, later);
    if (later) m.current->open.push_back(copy);
    else std::memcpy(to, copy.bytes, size);
}

// ---- blocks ----

inline void run_fibers()
{
    Machine& m = machine();
    size_t threads = m.fibers.size();
    for (Fiber& f : m.fibers) prepare(f);
    for (;;) {
        size_t done = 0, waiting = 0;
        bool ran = false;
        for (size_t warp = 0; warp < m.arrived.size(); warp++) {
            for (bool again = true; again;) {
                again = false;
                for (int lane = 0; lane < kLanes; lane++) {
                    Fiber& f = m.fibers[warp * kLanes + static_cast<size_t>(lane)];
                    if (f.state != State::ready) continue;
                    enter(f);
                    if (!m.fault.empty()) throw Fault(m.fault);
                    ran = again = true;
                }
            }
        }
        for (const Fiber& f : m.fibers) {
            done += f.state == State::done;
            waiting += f.state == State::at_barrier;
        }
        if (done == threads) return;
        if (waiting == threads) {
            m.block_barriers++;
            for (Fiber& f : m.fibers) f.state = State::ready;
        } else if (!ran) {
            m.current = nullptr;
            fail(waiting ? "not all threads of a block reached a barrier" : "not all lanes of a warp reached a collective");
        }
    }
}

inline void run_plain()
{
    Machine& m = machine();
    Fiber& f = m.fibers[0];
    m.current = &f;
    for (unsigned i = 0; i < m.block_size.x; i++) {
        f.thread = dim3(i, 0, 0);
        f.number = static_cast<int>(i);
        m.body(m.arguments);
    }
}

template <class Body> void launch(dim3 grid, dim3 block, size_t shared, bool collective, Body body)
{
    Machine& m = machine();
    m.fault.clear();
    m.current = nullptr;
    m.grid = grid;
    m.block_size = block;
    m.collective = collective;
    if (block.x % kLanes || block.y != 1 || block.z != 1 || block.x > 1024) fail("a block is not of whole warps");
    if (grid.y > 65535 || grid.z > 65535 || grid.x == 0) fail("a grid is too large or empty");
    if (m.fibers.size() != block.x) m.fibers.assign(block.x, Fiber{});
    for (unsigned i = 0; i < block.x; i++) {
        Fiber& f = m.fibers[i];
        f.thread = dim3(i, 0, 0);
        f.number = static_cast<int>(i);
        f.lane = f.number % kLanes;
        f.warp = f.number / kLanes;
    }
    m.arrived.assign(block.x / kLanes, 0);
    m.warp_barriers.assign(block.x / kLanes, 0);
    m.storage.resize(shared + 128);
    m.shared = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(m.storage.data()) + 127) & ~uintptr_t{127});
    m.shared_size = shared;
    m.body = [](void* p) { (*static_cast<Body*>(p))(); };
    m.arguments = &body;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                m.block = dim3(x, y, z);
                m.block_barriers = 0;
                std::memset(m.shared, kPoison, shared);
                m.words.assign((shared + 3) / 4, Word{});
                collective ? run_fibers() : run_plain();
            }
    m.current = nullptr;
}

// ---- matrix products ----

template <Operands kKind> int16_t element(uint32_t word, int i)
{
    if constexpr (is_nibbles(kKind)) {
        uint32_t v = word >> (4 * i) & 15u;
        return static_cast<int16_t>(is_signed(kKind) && v > 7 ? static_cast<int>(v) - 16 : static_cast<int>(v));
    } else {
        uint32_t v = word >> (8 * i) & 255u;
        return is_signed(kKind) ? static_cast<int16_t>(static_cast<int8_t>(v)) : static_cast<int16_t>(v);
    }
}

// Register r of lane 4·g + t holds row g, elements n·t … of half r of the row.
template <Operands kKind, int kRows, int kColumns> void multiply_lanes(Fiber* lanes)
{
    constexpr int kEach = is_nibbles(kKind) ? 8 : 4, kDepth = 8 * kEach;
    constexpr Operands kWeights = is_nibbles(kKind) ? kS4S4 : kS8S8;
    alignas(64) static thread_local int16_t a[kRows * 16][kDepth], b[kColumns * 8][kDepth];
    for (int lane = 0; lane < kLanes; lane++) {
        int group = lane / 4, part = lane % 4;
        const uint32_t(*own_a)[4] = static_cast<const uint32_t(*)[4]>(lanes[lane].operands[1]);
        const uint32_t(*own_b)[2] = static_cast<const uint32_t(*)[2]>(lanes[lane].operands[2]);
        for (int i = 0; i < kRows; i++)
            for (int r = 0; r < 4; r++)
                for (int e = 0; e < kEach; e++)
                    a[16 * i + group + 8 * (r & 1)][kDepth / 2 * (r >> 1) + kEach * part + e] = element<kKind>(own_a[i][r], e);
        for (int j = 0; j < kColumns; j++)
            for (int r = 0; r < 2; r++)
                for (int e = 0; e < kEach; e++)
                    b[8 * j + group][kDepth / 2 * r + kEach * part + e] = element<kWeights>(own_b[j][r], e);
    }
    for (int lane = 0; lane < kLanes; lane++) {
        int group = lane / 4, part = lane % 4;
        int32_t(*c)[kColumns][4] = static_cast<int32_t(*)[kColumns][4]>(lanes[lane].operands[0]);
        for (int i = 0; i < kRows; i++)
            for (int j = 0; j < kColumns; j++)
                for (int r = 0; r < 4; r++) {
                    const int16_t* row = a[16 * i + group + 8 * (r >> 1)];
                    const int16_t* column = b[8 * j + 2 * part + (r & 1)];
                    int32_t sum = 0;
                    for (int k = 0; k < kDepth; k++) sum += static_cast<int32_t>(row[k]) * column[k];
                    if (__builtin_add_overflow(c[i][j][r], sum, &c[i][j][r])) fail("an accumulator overflowed");
                }
    }
}

inline void load_matrix_lanes(Fiber* lanes)
{
    for (int matrix = 0; matrix < 4; matrix++) {
        const unsigned char* rows[8];
        unsigned banks = 0;
        for (int r = 0; r < 8; r++) {
            const Fiber& lane = lanes[8 * matrix + r];
            rows[r] = static_cast<const unsigned char*>(lane.operands[1]);
            note_read(lane, rows[r], 16, 16);
            banks |= 1u << (static_cast<size_t>(rows[r] - machine().shared) / 16 % 8);
        }
        if (banks != 255u) fail("rows of a matrix load share banks");
        for (int lane = 0; lane < kLanes; lane++)
            std::memcpy(static_cast<uint32_t*>(lanes[lane].operands[0]) + matrix, rows[lane / 4] + 4 * (lane % 4), 4);
    }
}

// ---- what a step may touch ----

inline void allow(const void* p, size_t size, size_t pitch, size_t width, bool writable)
{
    const char* at = static_cast<const char*>(p);
    machine().buffers.push_back({at, at + size, pitch, width, writable});
}
inline void poison(void* p, size_t size) { std::memset(p, kPoison, size); }

}  // namespace hawq::emulation

#define threadIdx (hawq::emulation::machine().current->thread)
#define blockIdx (hawq::emulation::machine().block)
#define blockDim (hawq::emulation::machine().block_size)
#define gridDim (hawq::emulation::machine().grid)
#define HAWQ_LAUNCH(kernel, grid, block, shared, stream, ...) \
    (void)(stream), hawq::emulation::launch(grid, block, shared, true, [&] { kernel(__VA_ARGS__); })
#define HAWQ_LAUNCH_SIMPLE(kernel, grid, block, shared, stream, ...) \
    (void)(stream), hawq::emulation::launch(grid, block, shared, false, [&] { kernel(__VA_ARGS__); })

namespace hawq {

template <class T> HAWQ_DEVICE T load(const T* p)
{
    emulation::check_global(p, sizeof(T), alignof(T), false);
    return *p;
}
template <class T> HAWQ_DEVICE void store(T* p, T value)
{
    emulation::check_global(p, sizeof(T), alignof(T), true);
    *p = value;
}
HAWQ_DEVICE unsigned char* shared_memory() { return emulation::machine().shared; }
template <class T> HAWQ_DEVICE T load_shared(const T* p)
{
    emulation::note_read(*emulation::machine().current, p, sizeof(T), alignof(T));
    return *p;
}
template <class T> HAWQ_DEVICE void store_shared(T* p, T value)
{
    emulation::note_write(*emulation::machine().current, p, sizeof(T), alignof(T), false);
    *p = value;
}
HAWQ_DEVICE void block_barrier()
{
    emulation::Machine& m = emulation::machine();
    if (!m.collective) emulation::fail("a kernel without collectives reached a barrier");
    m.current->state = emulation::State::at_barrier;
    emulation::leave();
}
HAWQ_DEVICE void warp_barrier()
{
    emulation::meet(emulation::Collective::warp_barrier, 0, nullptr, nullptr, nullptr,
                    [](emulation::Fiber* lanes) { emulation::machine().warp_barriers[lanes->warp]++; });
}
HAWQ_DEVICE void copy16_async(void* to, const void* from, bool valid) { emulation::copy_async(to, from, 16, valid); }
HAWQ_DEVICE void copy4_async(void* to, const void* from, bool valid) { emulation::copy_async(to, from, 4, valid); }
HAWQ_DEVICE void commit_group()
{
    emulation::Fiber* f = emulation::machine().current;
    if (emulation::machine().arch < 800) return;
    f->groups.push_back(std::move(f->open));
    f->open.clear();
}
template <int kPending> HAWQ_DEVICE void wait_group()
{
    emulation::Fiber* f = emulation::machine().current;
    while (f->groups.size() > kPending) {
        for (const emulation::Copy& copy : f->groups.front()) {
            std::memcpy(copy.to, copy.bytes, copy.size);
            emulation::Word* w = emulation::shared_words(copy.to, copy.size, 4);
            for (uint32_t i = 0; i < copy.size / 4; i++, w++) {
                w->pending = false;
                w->write_block = emulation::machine().block_barriers;
                w->write_warp = emulation::machine().warp_barriers[f->warp];
            }
        }
        f->groups.erase(f->groups.begin());
    }
}
HAWQ_DEVICE void load_matrix(uint32_t (&to)[4], const void* row)
{
    emulation::meet(emulation::Collective::load_matrix, 0, to, const_cast<void*>(row), nullptr, emulation::load_matrix_lanes);
}
template <Operands kKind, int kRows, int kColumns>
HAWQ_DEVICE void multiply_tile(int32_t (&c)[kRows][kColumns][4], const uint32_t (&a)[kRows][4], const uint32_t (&b)[kColumns][2])
{
    emulation::meet(emulation::Collective::multiply, kKind, c, const_cast<uint32_t(*)[4]>(a), const_cast<uint32_t(*)[2]>(b),
                    emulation::multiply_lanes<kKind, kRows, kColumns>);
}
HAWQ_DEVICE int32_t multiply_high(int32_t a, int32_t b) { return static_cast<int32_t>((static_cast<int64_t>(a) * b) >> 32); }
HAWQ_DEVICE uint32_t multiply_high_unsigned(uint32_t a, uint32_t b) { return static_cast<uint32_t>((static_cast<uint64_t>(a) * b) >> 32); }
constexpr bool serves(int) { return true; }
HAWQ_DEVICE bool has_nibble_products() { return emulation::machine().arch < 900; }

}  // namespace hawq
