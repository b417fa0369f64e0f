/* test_fork.c: in the child of a fork every queue of the parent is gone, locked or not. */
#include "fixture.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static fixture *f;                /* the parent's */
static bb_waiter *waiter, *other; /* in its line */
static bb_caller *first, *second;
static int64_t forks_before;

/* ---- what the child checks: '.' if all passed, otherwise a letter -------------------------- */

#define MUST(condition) \
    do { \
        if (!(condition)) return false; \
    } while (0)

static bool publishers_find_it_gone(void) {
    const bb_route *route = &f->low;
    void *event = EVENT(9);
    bb_waiter *joined = EVENT(1);
    MUST(push(f, &f->low, 9) == BB_GONE);
    MUST(push_as(f, &f->low, 9, BB_INSIDE) == BB_GONE);
    MUST(bb_push_many(f->q, &route, &event, 1, 0, BB_OUTSIDE) == BB_GONE);
    MUST(bb_waiter_join(f->q, &f->low, event, 0, BB_OUTSIDE, 1, &joined) == BB_GONE &&
         joined == NULL);
    MUST(bb_waiter_wait(waiter, NEVER) == BB_GONE);
    MUST(bb_waiter_quiet(waiter) == 0);
    MUST(bb_waiter_leave(waiter) == 0);
    MUST(offer(f, &f->low, 9, BB_EVICT_OLDEST) == BB_GONE);
    MUST(f->evicted == 0 && f->first == 0 && f->caller == NULL);
    MUST(offer_as(f, &f->low, 9, BB_REFUSE, BB_OUTSIDE, other) == BB_GONE);
    bb_caller_done(first, 0);
    bb_caller_abort(second);
    return true;
}

static bool workers_find_it_gone(void) {
    bb_delivery out = {.event = EVENT(7)};
    bb_open_delivery open[4];
    MUST(bb_take(f->worker, &out) == 0);
    MUST(bb_resize(f->q, 4) == BB_GONE);
    MUST(bb_worker_enter(f->q, 1) == NULL);
    MUST(bb_running(f->q, open, 4, NULL) == 0);
    bb_worker_failed(f->q);
    bb_worker_waits(f->worker, 1);
    bb_failed(f->worker);
    bb_let_go(f->worker);
    return true;
}

static bool calls_find_it_gone(void) {
    bb_delivery out;
    bb_parked parked = {.place = BB_DELAYED};
    MUST(bb_try_take(f->worker, &out) == BB_LEAVE);
    MUST(bb_take_more(f->worker, &out, 1, FOREVER) == 0);
    bb_retry(f->worker, &parked);
    bb_due(f->q, &parked);
    MUST(!parked.retry && parked.place == BB_DELAYED);
    bb_finish(f->worker, 1);
    bb_completed(f->worker);
    MUST(bb_purge(f->q, &out, 1) == 0);
    MUST(bb_barrier(f->q) == 0 && bb_wait_barrier(f->q, 1, FOREVER) == 1);
    return true;
}

static int32_t fail(void *item, void *argument) {
    (void)item, (void)argument;
    return 1;
}

static bool users_of_items_find_it_gone(void) {
    void *item = EVENT(7);
    MUST(bb_put(f->q, &f->low, &item, 1) == BB_GONE);
    MUST(bb_wait_item(f->q, NEVER) == 1 && bb_get(f->q, &item, 1, 1) == BB_GONE);
    MUST(bb_take_back(f->q, &item, 1) == 0 && bb_visit(f->q, fail, NULL) == 0);
    MUST(bb_set_capacity(f->q, 9) == BB_GONE);
    MUST(bb_unfinished(f->q) == 0 && bb_task_done(f->q) == 0);
    MUST(bb_wait_tasks(f->q, FOREVER) == 1);
    return true;
}

static bool observers_find_it_gone(void) {
    static bb_stats stats, no_stats;
    bb_arrivals arrivals = {.deliveries = 7};
    bb_timer timer;
    bb_note note;
    MUST(bb_notes(f->q, 0, &note, 1) == BB_GONE);
    memset(&stats, 7, sizeof stats);
    MUST(bb_wait_idle(f->q, FOREVER) == 1 && bb_wait_shut(f->q, FOREVER) == 1);
    MUST(bb_discard(f->q, f->out, 4) == 0);
    MUST(bb_depth(f->q) == 0 && bb_published(f->q) == 0 && bb_ended(f->q) == 0);
    MUST(bb_get_state(f->q) == BB_SHUT);
    MUST(bb_snapshot(f->q, &stats, NULL, 0, NULL, NULL, 0, NULL, 0, NULL) == BB_GONE);
    MUST(memcmp(&stats, &no_stats, sizeof stats) == 0);
    MUST(bb_load(f->q, &arrivals, &f->pointers[0], &timer, 1) == BB_GONE);
    MUST(arrivals.deliveries == 0);
    bb_close(f->q, 1, -1);
    bb_queue_free(f->q); /* to no effect */
    return true;
}

static bool a_queue_of_its_own_works(void) {
    memset(f->recipient, 0, sizeof f->recipient);
    f->q = bb_queue_new(&(bb_settings){.capacity = 2, .levels = LEVELS});
    MUST(f->q != NULL);
    f->worker = add_worker(f);
    MUST(push(f, &f->low, 4) == BB_ACCEPTED && take(f->worker) == 4);
    bb_queue_free(f->q);
    return true;
}

static char in_the_child(void) {
    if (bb_fork_count() == forks_before) return 'c';
    if (!publishers_find_it_gone()) return 'p';
    if (!workers_find_it_gone()) return 'w';
    if (!calls_find_it_gone()) return 'l';
    if (!users_of_items_find_it_gone()) return 'i';
    if (!observers_find_it_gone()) return 'o';
    return a_queue_of_its_own_works() ? '.' : 'q';
}

/* ---- the parent ------------------------------------------------------------------------------ */

/* Fork, and get the child's result through a pipe: its exit status belongs to the memory checker,
 * which rightly reports the abandoned queue as lost. */
static void check_in_a_child(char (*answer)(void)) {
    int ends[2];
    char result = 'x';
    forks_before = bb_fork_count();
    CHECK_INT(0, pipe(ends));
    pid_t child = fork();
    if (child == 0) {
        alarm(30); /* the parent's is not inherited */
        result = answer();
        _exit(write(ends[1], &result, 1) == 1 ? 0 : 1);
    }
    close(ends[1]);
    CHECK_INT(1, read(ends[0], &result, 1));
    CHECK_INT('.', result);
    close(ends[0]);
    CHECK_INT(child, waitpid(child, NULL, 0));
    CHECK_INT(forks_before, bb_fork_count());
}

static void set_up(void) {
    f = fixture_new(1);
    bb_route *route = &f->low;
    fill(f, route, 1, 1);
    waiter = join(f, route, 2);
    other = join(f, route, 3);
    CHECK_INT(BB_RUN, offer(f, route, 4, BB_CALLER_RUNS));
    first = f->caller;
    CHECK_INT(BB_RUN, offer(f, route, 5, BB_CALLER_RUNS));
    second = f->caller;
}

static void check_the_parent_goes_on(void) {
    bb_caller_done(first, 0);
    bb_caller_abort(second);
    CHECK_TAKES(1, f->worker);
    CHECK_TAKES(2, f->worker);
    CHECK_INT(1, bb_waiter_leave(waiter));
    CHECK_INT(1, bb_waiter_leave(other));
    CHECK_BOOKS(f, .published = 5, .processed = 2, .dropped = 1, .queued = 1, .running = 1);
    fixture_free(f);
}

static void test_in_the_child_every_function_answers_that_the_queue_is_gone(void) {
    set_up();
    check_in_a_child(in_the_child);
    check_the_parent_goes_on();
}

/* The mutex is held by a thread that the child does not have. */
static void test_no_function_touches_a_mutex_that_was_locked_at_the_fork(void) {
    set_up();
    bb_mutex_lock(&f->q->mutex);
    check_in_a_child(in_the_child);
    bb_mutex_unlock(&f->q->mutex);
    check_the_parent_goes_on();
}

static char in_the_grandchild(void) {
    bool gone = bb_get_state(f->q) == BB_SHUT && push(f, &f->low, 9) == BB_GONE;
    return gone && bb_fork_count() != forks_before ? '.' : 'g';
}

static char fork_again(void) {
    f = fixture_new(4); /* the child's, and gone in the grandchild */
    fill(f, &f->low, 1, 1);
    check_in_a_child(in_the_grandchild);
    return take(f->worker) == 1 ? '.' : 't';
}

static void test_the_child_of_a_child_is_a_child(void) {
    set_up();
    fixture *own = f;
    check_in_a_child(fork_again);
    f = own;
    check_the_parent_goes_on();
}

void fork_tests(void) {
    RUN(test_in_the_child_every_function_answers_that_the_queue_is_gone);
    RUN(test_no_function_touches_a_mutex_that_was_locked_at_the_fork);
    RUN(test_the_child_of_a_child_is_a_child);
}
