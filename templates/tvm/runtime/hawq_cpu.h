/* Instruction sets: what this CPU and this system allow, and what a thread sets up before kernels run on it.
 * Included by hawq_runtime.c alone. */
#ifndef HAWQ_CPU_H
#define HAWQ_CPU_H
#include <cpuid.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HAS(r, m) (((r) & (m)) == (m))

/* What CPUID and XGETBV say: leaf 7 and the registers that the system keeps across threads. */
typedef struct {
    unsigned b, c, d, state;
} hawq_cpu;

static int cpu_has_avx2(hawq_cpu *cpu)
{
    unsigned a, b, c, d, high;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    /* x86-64-v3: sse3 ssse3 fma cx16 sse4.1 sse4.2 movbe popcnt osxsave avx f16c */
    if (!HAS(c, 1u | 1u << 9 | 1u << 12 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 22 | 1u << 23 | 1u << 27 | 1u << 28 | 1u << 29)) return 0;
    __asm__ volatile("xgetbv" : "=a"(cpu->state), "=d"(high) : "c"(0));
    if (!HAS(cpu->state, 6u)) return 0; /* xmm and ymm */
    if (!__get_cpuid_count(7, 0, &a, &cpu->b, &cpu->c, &cpu->d) || !HAS(cpu->b, 1u << 3 | 1u << 5 | 1u << 8)) return 0; /* bmi1 avx2 bmi2 */
    return __get_cpuid(0x80000001u, &a, &b, &c, &d) && HAS(c, 1u << 5); /* lzcnt */
}

/* x86-64-v4 (f dq cd bw vl) and vnni; opmask and both zmm states kept by the system */
static int cpu_has_vnni(const hawq_cpu *cpu)
{
    return HAS(cpu->b, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31) && HAS(cpu->c, 1u << 11) && HAS(cpu->state, 0xe6u);
}

/* amx-tile and amx-int8, tile state kept by the system, and granted to this process: its threads and children inherit it. */
static int cpu_has_amx(const hawq_cpu *cpu)
{
    enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM */
    return HAS(cpu->d, 1u << 24 | 1u << 25) && HAS(cpu->state, 3u << 17) && syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

static int cpu_has(const char *isa)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    hawq_cpu cpu = {0, 0, 0, 0};
    if (!cpu_has_avx2(&cpu)) return 0;
    if (!strcmp(isa, "avx2")) return 1;
    if (!strcmp(isa, "avxvnni")) return __get_cpuid_count(7, 1, &a, &b, &c, &d) && HAS(a, 1u << 4);
    if (!strcmp(isa, "vnni")) return cpu_has_vnni(&cpu);
    return !strcmp(isa, "amx") && cpu_has_vnni(&cpu) && cpu_has_amx(&cpu);
}

/* Called by every thread before its first kernel of a run and after its last. Tiles: eight of 16 rows of 64 bytes.
 * They are given back at once, since a thread with tiles in use is costly to switch. The instructions stand as bytes
 * for assemblers that do not know them. */
static void thread_start(const char *isa)
{
    static const uint8_t tiles[64] __attribute__((aligned(64))) = {
        [0] = 1, [16] = 64, [18] = 64, [20] = 64, [22] = 64, [24] = 64, [26] = 64, [28] = 64, [30] = 64,
        [48] = 16, 16, 16, 16, 16, 16, 16, 16};
    if (!strcmp(isa, "amx")) __asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0x00" : : "a"(tiles), "m"(tiles)); /* ldtilecfg (%rax) */
}

static void thread_stop(const char *isa)
{
    if (!strcmp(isa, "amx")) __asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0"); /* tilerelease */
}
#endif
