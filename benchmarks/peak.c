/* Byte products a second of one core: independent sums, nothing loaded. Built and run by cpu.py.
 *
 *     peak amx|vnni|avxvnni|avx2    prints giga multiply-accumulates per second
 *     peak read BYTES           prints gigabytes per second of reading that many bytes again and again
 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EIGHT(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7)
#define SIXTEEN(F) EIGHT(F) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)
enum { ROUNDS = 200000, TRIES = 20 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Six tiles of 16 by 16 sums += 16 rows of 64 bytes times 16 columns; as bytes, as below. */
static void amx(void)
{
#define STEP(code) ".byte 0xc4, 0xe2, 0x41, 0x5e, " #code "\n"
    for (int i = 0; i < ROUNDS; i++)
        __asm__ volatile(STEP(0xc6) STEP(0xce) STEP(0xd6) STEP(0xde) STEP(0xe6) STEP(0xee) ::: "memory");
#undef STEP
}

/* Ask Linux for the tiles (ARCH_REQ_XCOMP_PERM, feature 18), then configure eight of 16 rows of 64 bytes. */
static int has_tiles(void)
{
    struct {
        uint8_t palette, start, zero[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shape __attribute__((aligned(64))) = {.palette = 1};
    for (int k = 0; k < 8; k++) shape.bytes[k] = 64, shape.rows[k] = 16;
    if (syscall(SYS_arch_prctl, 0x1023, 18)) return 0;
    __asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0x00" ::"a"(&shape) : "memory");
    return 1;
}

static void vnni(void)
{
#define CLEAR(k) __asm__ volatile("vpxord %%zmm" #k ", %%zmm" #k ", %%zmm" #k ::: "memory");
#define STEP(k) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #k "\n"
    SIXTEEN(CLEAR)
    for (int i = 0; i < ROUNDS; i++) __asm__ volatile(SIXTEEN(STEP) ::: "memory");
#undef STEP
}

static void avxvnni(void)
{
    /* vpdpbusd ymm0 … ymm7 += ymm8 * ymm9, as bytes: older assemblers do not know the VEX form. */
#define STEP(code) ".byte 0xc4, 0xc2, 0x3d, 0x50, " #code "\n"
    for (int i = 0; i < ROUNDS; i++)
        __asm__ volatile(STEP(0xc1) STEP(0xc9) STEP(0xd1) STEP(0xd9) STEP(0xe1) STEP(0xe9)
                             STEP(0xf1) STEP(0xf9) ::: "memory");
#undef STEP
}

static void avx2(void)
{
#define STEP(k) "vpmaddwd %%ymm12, %%ymm13, %%ymm14\nvpaddd %%ymm14, %%ymm" #k ", %%ymm" #k "\n"
    for (int i = 0; i < ROUNDS; i++) __asm__ volatile(EIGHT(STEP) ::: "memory");
#undef STEP
}

static double best(void (*run)(void), double products)
{
    double least = 1e9;
    for (int i = 0; i < TRIES; i++) {
        double begin = now();
        run();
        double took = now() - begin;
        least = took < least ? took : least;
    }
    return ROUNDS * products / least / 1e9;
}

static double reading(size_t size)
{
    char *data = aligned_alloc(64, size);
    if (!data) return 0;
    memset(data, 1, size);
    double least = 1e9;
    for (int i = 0; i < TRIES; i++) {
        double begin = now();
        for (size_t at = 0; at < size; at += 256)
            __asm__ volatile("vmovdqa (%0), %%ymm0\nvmovdqa 64(%0), %%ymm1\n"
                             "vmovdqa 128(%0), %%ymm2\nvmovdqa 192(%0), %%ymm3\n" ::"r"(data + at) : "memory");
        double took = now() - begin;
        least = took < least ? took : least;
    }
    free(data);
    return (double)size / least / 1e9;
}

int main(int count, char **words)
{
    double found = 0;
    if (count < 2) return 1;
    if (!strcmp(words[1], "read") && count > 2) found = reading(strtoull(words[2], 0, 10));
    else if (!strcmp(words[1], "amx") && has_tiles()) found = best(amx, 6 * 16 * 16 * 64);
    else if (!strcmp(words[1], "vnni")) found = best(vnni, 16 * 64);
    else if (!strcmp(words[1], "avxvnni")) found = best(avxvnni, 8 * 32);
    else if (!strcmp(words[1], "avx2")) found = best(avx2, 8 * 16);
    else return 1;
    printf("%.2f\n", found);
    return 0;
}
