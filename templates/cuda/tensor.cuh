// How tensors lie in memory, and how an int32 value becomes a stored one.
// A tensor is [image][y][x][channel]; a pixel's channels are padded, with lanes that hold anything, so that sixteen
// channels are one or more aligned vectors. Channel 2i of a tensor of nibbles is the low half of byte i.
#pragma once
#include "device.cuh"

namespace hawq {

// Division by a number that only the host knows: GPUs divide integers through floating point, so kernels multiply.
// With l = ceil(log2 d), ceil(2^(31+l) / d) has 32 bits and gives the exact quotient of every n below 2^31.
struct Divisor {
    int32_t divisor;
    uint32_t multiplier;
    int32_t shift;

    HAWQ_DEVICE int quotient(int n) const
    {
        return divisor == 1 ? n : static_cast<int>(multiply_high_unsigned(static_cast<uint32_t>(n), multiplier) >> shift);
    }
    HAWQ_DEVICE int remainder(int n, int quotient_) const { return n - quotient_ * divisor; }
};

inline Divisor divisor_of(int d)
{
    int log = 0;
    while ((int64_t{1} << log) < d) log++;
    return {d, d == 1 ? 0u : static_cast<uint32_t>(((uint64_t{1} << (31 + log)) + static_cast<uint64_t>(d) - 1) / static_cast<uint64_t>(d)), log - 1};
}

enum Format : int32_t { kU8, kS8, kU4, kS4, kU16, kS16, kS32 };
constexpr int kVector = 16;  // channels a thread handles at once

struct View {
    unsigned char* data;
    int32_t format;
    int32_t height, width, channels;
    int32_t pixel;  // elements from one pixel to the next

    HAWQ_DEVICE bool vectors() const { return pixel % kVector == 0; }
    HAWQ_DEVICE int64_t at(int64_t position, int c) const { return position * pixel + c; }
};

HAWQ_DEVICE int byte_of(uint32_t word, int i, bool is_signed)
{
    return is_signed ? static_cast<int>(word << (24 - 8 * i)) >> 24 : static_cast<int>(word >> (8 * i) & 255u);
}
HAWQ_DEVICE int nibble_of(uint32_t word, int i, bool is_signed)
{
    return is_signed ? static_cast<int>(word << (28 - 4 * i)) >> 28 : static_cast<int>(word >> (4 * i) & 15u);
}
HAWQ_DEVICE int half_of(uint32_t word, int i, bool is_signed)
{
    return is_signed ? static_cast<int>(word << (16 - 16 * i)) >> 16 : static_cast<int>(word >> (16 * i) & 65535u);
}

// One element; `index` counts elements from the start of the tensor.
HAWQ_DEVICE int load_element(const View& v, int64_t index)
{
    switch (v.format) {
        case kU8: return load(v.data + index);
        case kS8: return load(reinterpret_cast<const int8_t*>(v.data) + index);
        case kU4: return nibble_of(load(v.data + (index >> 1)), static_cast<int>(index & 1), false);
        case kS4: return nibble_of(load(v.data + (index >> 1)), static_cast<int>(index & 1), true);
        case kU16: return load(reinterpret_cast<const uint16_t*>(v.data) + index);
        case kS16: return load(reinterpret_cast<const int16_t*>(v.data) + index);
        default: return load(reinterpret_cast<const int32_t*>(v.data) + index);
    }
}

// Channels c … c + 15 of a pixel; only those that exist where pixels are not whole vectors.
HAWQ_DEVICE void load_vector(const View& v, int64_t position, int c, int32_t (&to)[kVector])
{
    const int64_t index = v.at(position, c);
    if (!v.vectors()) {
        // Pixels of bytes or of int32 only: images, and the logits.
        const int shift = v.format == kS32 ? 2 : 0;
#pragma unroll
        for (int i = 0; i < kVector; i++) {
            const unsigned char* p = v.data + ((index + i) << shift);
            const bool exists = c + i < v.channels;
            to[i] = !exists ? 0 : shift ? load(reinterpret_cast<const int32_t*>(p)) : v.format == kS8 ? load(reinterpret_cast<const int8_t*>(p)) : load(p);
        }
        return;
    }
    const bool is_signed = v.format == kS8 || v.format == kS4 || v.format == kS16;
    if (v.format == kU8 || v.format == kS8) {
        const uint4 words = load(reinterpret_cast<const uint4*>(v.data + index));
        const uint32_t parts[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
        for (int i = 0; i < kVector; i++) to[i] = byte_of(parts[i / 4], i % 4, is_signed);
    } else if (v.format == kU4 || v.format == kS4) {
        const uint2 words = load(reinterpret_cast<const uint2*>(v.data + index / 2));
        const uint32_t parts[2] = {words.x, words.y};
#pragma unroll
        for (int i = 0; i < kVector; i++) to[i] = nibble_of(parts[i / 8], i % 8, is_signed);
    } else if (v.format == kU16 || v.format == kS16) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const uint4 words = load(reinterpret_cast<const uint4*>(v.data + 2 * index) + h);
            const uint32_t parts[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
            for (int i = 0; i < 8; i++) to[8 * h + i] = half_of(parts[i / 2], i % 2, is_signed);
        }
    } else {
#pragma unroll
        for (int q = 0; q < 4; q++) {
            const int4 words = load(reinterpret_cast<const int4*>(v.data + 4 * index) + q);
            to[4 * q] = words.x, to[4 * q + 1] = words.y, to[4 * q + 2] = words.z, to[4 * q + 3] = words.w;
        }
    }
}

HAWQ_DEVICE uint32_t pack4(const int32_t* v)
{
    return (v[0] & 255u) | (v[1] & 255u) << 8 | (v[2] & 255u) << 16 | static_cast<uint32_t>(v[3]) << 24;
}
HAWQ_DEVICE uint32_t pack8(const int32_t* v)
{
    uint32_t word = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) word |= (static_cast<uint32_t>(v[i]) & 15u) << (4 * i);
    return word;
}
HAWQ_DEVICE uint32_t pack2(const int32_t* v) { return (v[0] & 65535u) | static_cast<uint32_t>(v[1]) << 16; }

// Stores channels c … c + 15 of a pixel, lanes beyond the last channel included where pixels are whole vectors.
HAWQ_DEVICE void store_vector(const View& v, int64_t position, int c, const int32_t (&from)[kVector])
{
    const int64_t index = v.at(position, c);
    if (!v.vectors()) {
#pragma unroll
        for (int i = 0; i < kVector; i++) {
            if (c + i >= v.channels) break;
            if (v.format == kU8 || v.format == kS8) store(v.data + index + i, static_cast<unsigned char>(from[i]));
            else store(reinterpret_cast<int32_t*>(v.data) + index + i, from[i]);
        }
    } else if (v.format == kU8 || v.format == kS8) {
        store(reinterpret_cast<uint4*>(v.data + index),
              make_uint4(pack4(from), pack4(from + 4), pack4(from + 8), pack4(from + 12)));
    } else if (v.format == kU4 || v.format == kS4) {
        store(reinterpret_cast<uint2*>(v.data + index / 2), make_uint2(pack8(from), pack8(from + 8)));
    } else if (v.format == kU16 || v.format == kS16) {
#pragma unroll
        for (int h = 0; h < 2; h++)
            store(reinterpret_cast<uint4*>(v.data + 2 * index) + h,
                  make_uint4(pack2(from + 8 * h), pack2(from + 8 * h + 2), pack2(from + 8 * h + 4), pack2(from + 8 * h + 6)));
    } else {
#pragma unroll
        for (int q = 0; q < 4; q++)
            store(reinterpret_cast<int4*>(v.data + 4 * index) + q,
                  make_int4(from[4 * q], from[4 * q + 1], from[4 * q + 2], from[4 * q + 3]));
    }
}

// ---- the one rounding rule: R(v) = (int64(v)·m + 2^(s−1)) >> s ----

// Per channel. Narrow (s >= 33): the low half of the product cannot carry, so `rounding` = 2^(s−33) is added to its
// high half and `shift` = s − 32. Wide: `shift` = s.
struct Channel {
    int32_t bias, multiplier, rounding, shift;
};

HAWQ_DEVICE Channel load_channel(const int4* channels, int i)
{
    const int4 v = load(channels + i);
    return {v.x, v.y, v.z, v.w};
}

HAWQ_DEVICE int64_t rescale_wide(int32_t value, int32_t multiplier, int32_t shift)
{
    return (static_cast<int64_t>(value) * multiplier + (static_cast<int64_t>(1) << (shift - 1))) >> shift;
}

HAWQ_DEVICE int32_t requantize(int32_t acc, const Channel& channel, bool wide)
{
    const int32_t value = acc + channel.bias;
    if (wide) return static_cast<int32_t>(rescale_wide(value, channel.multiplier, channel.shift));
    return (multiply_high(value, channel.multiplier) + channel.rounding) >> channel.shift;
}

// A second operand of an addition. Up to 8 bits: 32-bit arithmetic, R(q − z); beyond: 64-bit; `shift` 0 is a partial
// sum that is at the result's scale already.
struct Addend {
    View x;
    int32_t present, zero, multiplier, shift;
};

HAWQ_DEVICE bool is_narrow(const Addend& addend) { return addend.x.format <= kS4; }

HAWQ_DEVICE int64_t rescale_operand(const Addend& addend, int32_t q)
{
    const int32_t value = q - addend.zero;
    if (addend.shift == 0) return value;
    if (is_narrow(addend)) return (value * addend.multiplier + (1 << (addend.shift - 1))) >> addend.shift;
    return rescale_wide(value, addend.multiplier, addend.shift);
}

// Adds an operand and a zero point, clamps to [lo, hi]; in 64 bits where the operand may have more than a byte.
HAWQ_DEVICE void add_and_clamp(const Addend& addend, int64_t position, int c, int32_t zero, int32_t lo, int32_t hi, int32_t (&to)[kVector])
{
    int32_t operand[kVector];
    load_vector(addend.x, position, c, operand);
    if (is_narrow(addend)) {
#pragma unroll
        for (int i = 0; i < kVector; i++)
            to[i] = min(max(to[i] + static_cast<int32_t>(rescale_operand(addend, operand[i])) + zero, lo), hi);
    } else {
#pragma unroll
        for (int i = 0; i < kVector; i++) {
            const int64_t sum = rescale_operand(addend, operand[i]) + to[i] + zero;
            to[i] = static_cast<int32_t>(sum < lo ? lo : sum > hi ? hi : sum);
        }
    }
}

struct Store {
    View out;
    const int4* channels;
    int32_t wide, zero, lo, hi;
    Addend addend;
};

constexpr int kMaxStores = 8;
struct Stores {
    int32_t count;
    Store of[kMaxStores];
};

// Stores clamp(z + R(acc) + A, lo, hi) of sixteen rescaled values.
HAWQ_DEVICE void finish(const Store& s, int64_t position, int c, int32_t (&value)[kVector])
{
    if (s.addend.present) {
        add_and_clamp(s.addend, position, c, s.zero, s.lo, s.hi, value);
    } else {
#pragma unroll
        for (int i = 0; i < kVector; i++) value[i] = min(max(value[i] + s.zero, s.lo), s.hi);
    }
    store_vector(s.out, position, c, value);
}

// The same from accumulators, whose channels are numbered from `first` in the parameters.
HAWQ_DEVICE void finish_all(const Stores& stores, int64_t position, int c, int first, int step, const int32_t (&acc)[kVector])
{
    for (int s = 0; s < stores.count; s++) {
        int32_t value[kVector];
#pragma unroll
        for (int i = 0; i < kVector; i++)
            value[i] = requantize(acc[i], load_channel(stores.of[s].channels, first + step * i), stores.of[s].wide);
        finish(stores.of[s], position, c, value);
    }
}

}  // namespace hawq
