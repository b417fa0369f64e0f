/* grouped.h: subscriptions whose deliveries wait in lanes, for the unit tests.
 *
 * An event is a number here too. Its ticket is on the heap and belongs to the fixture, which frees
 * all of them at its end; `drop_ticket` frees one earlier, so that a pointer that the queue has
 * kept is found by a sanitizer. */
#ifndef GROUPED_H
#define GROUPED_H

#include "fixture.h"

#define KEYS 128
#define NO_KEY (-1)

/* A subscription with its own recipient among those of the fixture. */
typedef struct grouped {
    fixture *f;
    bb_group group;
    bb_lane lane[KEYS];
    bb_route route[LEVELS];
} grouped;

/* At most `limit` calls at once (0: any number), of up to `batch` events; freed by the fixture. */
grouped *grouped_new(fixture *f, int32_t limit, int32_t batch);

/* Push an event at `level`, 1 to LEVELS. `key`: 0 to KEYS - 1, or NO_KEY. */
bb_result post(grouped *g, int32_t level, int32_t key, int64_t event);

/* The same, as one call of the queue each: all must be accepted. */
void post_some(grouped *g, int32_t level, int32_t key, int64_t first, int32_t n);

/* The same for an event that expires at the time `expires`. */
bb_result post_expiring(grouped *g, int32_t level, int32_t key, int64_t event, uint64_t expires);

/* A ticket for a plain route, which expires. */
bb_result push_expiring(fixture *f, const bb_route *route, int64_t event, uint64_t expires);

bb_result offer_grouped(grouped *g, int32_t level, int32_t key, int64_t event, bb_mode mode);
bb_waiter *join_grouped(grouped *g, int32_t level, int32_t key, int64_t event, bb_origin origin);

/* Of an event that was posted. */
bb_parked *parked_of(fixture *f, int64_t event);
void drop_ticket(fixture *f, int64_t event);

/* Take, without sleeping: the event's number; 0: nothing; its negative: it has expired. */
int64_t try_take(bb_worker *worker);
#define CHECK_TRIES(expected, worker) CHECK_INT(expected, try_take(worker))

/* Take up to `n` more into the call; the numbers are in `batch`. */
extern int64_t batch[MANY];
int32_t take_more(bb_worker *worker, int32_t n, int64_t wait);

/* An event of the open call is to be run again; its time has come. */
void retry(fixture *f, bb_worker *worker, int64_t event);
void due(fixture *f, int64_t event);

/* Check that the queue's lists of slots, parked deliveries, lanes and groups, and expiry, agree. */
#define CHECK_LISTS(f) check_lists((f), __FILE__, __LINE__)
void check_lists(fixture *f, const char *file, int line);

#endif
