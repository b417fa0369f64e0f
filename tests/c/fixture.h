/* fixture.h: rings with their routes, and threads that sleep in a call, for the unit tests. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <pthread.h>

#include "check.h"
#include "internal.h"
#include "staged.h"

#define FOREVER INT64_MAX
#define LEVELS 3

/* A ring of three levels with one kind, 0, a route of one delivery for each level, and one
 * worker. `low`, `medium`, `high` are the first handles; the next event is one more. */
typedef struct {
    int64_t ring;
    int64_t low;
    int64_t medium;
    int64_t high;
    int64_t worker;
} fixture;

fixture fixture_new(int32_t capacity);
fixture fixture_timed(int32_t capacity, int64_t starvation_ns);
void fixture_free(const fixture *f);

/* Push events `route`, `route` + 1, ... */
void fill(int64_t route, int32_t n);

/* The result of bb_offer without BB_FIRST. */
static inline int32_t plain_result(int32_t result) {
    return result > 0 ? result & ~BB_FIRST : result;
}

/* Take with the fixture's worker and check what comes. */
#define CHECK_TAKES(expected, worker) CHECK_INT(expected, bb_take(worker))

/* Check all counts of the ring, that they balance, and that levels and kinds add up to them. */
#define CHECK_BOOKS(ring, ...)                                                                    \
    check_books((ring), (bb_counts){__VA_ARGS__}, __FILE__, __LINE__)
void check_books(int64_t ring, bb_counts expected, const char *file, int line);

/* A thread in one call. Start it, see it asleep with one of the await functions, finish it. */
typedef struct {
    pthread_t thread;
    int64_t handle;
    int64_t timeout;
    int64_t result;
} sleeper;

void start_wait(sleeper *s, int64_t handle, int64_t timeout);
void start_take(sleeper *s, int64_t worker);
void start_wait_idle(sleeper *s, int64_t ring, int64_t timeout);
int64_t finish_sleeper(sleeper *s);

/* Return when so many stand in line / workers sleep / threads sleep in bb_wait_idle. All of these
 * states are entered and left with the mutex, so whoever is seen in them is asleep. */
void await_line(int64_t handle, int32_t n);
void await_workers_asleep(int64_t handle, int32_t n);
void await_idle_waiters(int64_t handle, int32_t n);
int32_t length_of_line(int64_t handle);

/* One for each file of tests. */
void push_tests(void);
void offer_tests(void);
void caller_tests(void);
void line_tests(void);
void telling_tests(void);
void take_tests(void);
void help_tests(void);
void end_tests(void);
void stats_tests(void);
void life_tests(void);
void host_tests(void);
void resize_tests(void);
void resize_races_tests(void);
void meters_tests(void);

#endif
