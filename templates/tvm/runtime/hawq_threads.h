/* A team of threads that work on one image together. Waiting is short by spinning and long by sleeping, so that a
 * barrier costs a fraction of a microsecond and an idle team nothing. Included by hawq_runtime.c alone. */
#ifndef HAWQ_THREADS_H
#define HAWQ_THREADS_H
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TEAM_PAUSE_NS 5000u  /* spin this long */
#define TEAM_YIELD_NS 40000u /* then let others run until here, then sleep */
#define TEAM_STACK (1u << 20)

/* A counter that others wait for. */
typedef struct {
    _Alignas(64) atomic_uint count;
    atomic_uint sleepers;
} hawq_signal;

typedef struct {
    hawq_signal job;     /* one more for every piece of work */
    hawq_signal round;   /* one more for every barrier passed */
    _Alignas(64) atomic_int arrived;
    _Alignas(64) int parts;
    int spin;            /* whether every part can have a CPU of its own */
    int stop;
    pid_t pid;           /* whose threads they are: a forked child has none */
    void (*work)(void *context, int part);
    void *context;
    pthread_t *threads;  /* [1] … [parts - 1]; part 0 is the caller */
} hawq_team;

typedef struct {
    hawq_team *team;
    int part;
} hawq_member;

static uint64_t nanoseconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Return when the counter is no longer `old`. */
static void signal_wait(hawq_signal *s, unsigned old, int spin)
{
    uint64_t start = spin ? nanoseconds_now() : 0, waited = 0;
    while (spin && waited < TEAM_YIELD_NS) {
        for (int i = 0; i < 16; i++) {
            if (atomic_load_explicit(&s->count, memory_order_acquire) != old) return;
            __asm__ volatile("pause");
        }
        if (waited > TEAM_PAUSE_NS) sched_yield();
        waited = nanoseconds_now() - start;
    }
    atomic_fetch_add(&s->sleepers, 1);
    while (atomic_load(&s->count) == old) syscall(SYS_futex, &s->count, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&s->sleepers, 1);
}

/* Either the sleeper sees the new count, or this sees the sleeper: both sides are sequentially consistent. */
static void signal_next(hawq_signal *s)
{
    atomic_fetch_add(&s->count, 1);
    if (atomic_load(&s->sleepers)) syscall(SYS_futex, &s->count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Return when all parts have come here. */
static void team_meet(hawq_team *team)
{
    unsigned round = atomic_load_explicit(&team->round.count, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) < team->parts - 1) {
        signal_wait(&team->round, round, team->spin);
        return;
    }
    atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
    signal_next(&team->round);
}

static void *team_member(void *argument)
{
    hawq_member me = *(hawq_member *)argument;
    free(argument);
    for (unsigned seen = 0;; seen++) {
        signal_wait(&me.team->job, seen, me.team->spin);
        if (me.team->stop) return NULL;
        me.team->work(me.team->context, me.part);
    }
}

/* End the threads [1] … [started - 1]. */
static void team_dismiss(hawq_team *team, int started)
{
    team->stop = 1;
    signal_next(&team->job);
    for (int i = 1; i < started; i++) pthread_join(team->threads[i], NULL);
}

/* Start one thread, or return why not; the process's own threads, not these, handle its signals. */
static int member_start(hawq_team *team, int part)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    hawq_member *member = malloc(sizeof *member);
    if (!member) return ENOMEM;
    *member = (hawq_member){team, part};
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, TEAM_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&team->threads[part], &attributes, team_member, member);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (rc) free(member);
    return rc;
}

/* Start the threads of a team, of which this process has none yet, or return why not. */
static int team_start(hawq_team *team)
{
    cpu_set_t cpus;
    team->spin = sched_getaffinity(0, sizeof cpus, &cpus) || CPU_COUNT(&cpus) >= team->parts;
    team->stop = 0;
    atomic_store(&team->job.count, 0);
    atomic_store(&team->job.sleepers, 0);
    atomic_store(&team->round.count, 0);
    atomic_store(&team->round.sleepers, 0);
    atomic_store(&team->arrived, 0);
    for (int part = 1; part < team->parts; part++) {
        int rc = member_start(team, part);
        if (!rc) continue;
        team_dismiss(team, part);
        return rc;
    }
    team->pid = getpid();
    return 0;
}

static void team_free(hawq_team *team)
{
    if (!team) return;
    if (team->pid == getpid()) team_dismiss(team, team->parts);
    free(team->threads);
    free(team);
}

/* A team of `parts`, without threads until it first works; NULL where there is no memory. */
static hawq_team *team_new(int parts, void (*work)(void *, int), void *context)
{
    hawq_team *team = aligned_alloc(64, sizeof *team);
    if (!team) return NULL;
    memset(team, 0, sizeof *team);
    team->parts = parts;
    team->work = work;
    team->context = context;
    team->threads = calloc((size_t)parts, sizeof *team->threads);
    if (team->threads) return team;
    free(team);
    return NULL;
}

/* Have every part work once and return when part 0 has, or why threads cannot be started. */
static int team_work(hawq_team *team)
{
    if (team->parts > 1) {
        int rc = team->pid == getpid() ? 0 : team_start(team);
        if (rc) return rc;
        signal_next(&team->job);
    }
    team->work(team->context, 0);
    return 0;
}
#endif
