/* items.h: the contract of a queue without workers, whose callers put and get items themselves.
 *
 * Read after queue.h, and like it by cffi too: what queue.h says of references, threads, forks and
 * cost holds here. See items.c.
 */

/* Put up to `n` items, in order, as long as there are free slots; `route` has one recipient. There
 * are none while a publisher waits. Returns how many; or CLOSED, GONE or NO_MEMORY. */
int32_t bb_put(bb_queue *q, const bb_route *route, void *const *items, int32_t n);

/* Take up to `n` items, the oldest of the most urgent level first, which have ended thereby. With
 * the host attached, and it stays so. `woken`: 1 directly after bb_wait_item has returned 1, in the
 * same thread. Returns how many; or CLOSED if the queue is shut, or GONE. */
int32_t bb_get(bb_queue *q, void **out, int32_t n, int32_t woken);

/* Sleep until there is an item, or the queue is shut or gone, or bb_clock() reaches `until`. 0: the
 * time is over. 1: the caller must call bb_get next, or other threads may sleep beside an item. */
int32_t bb_wait_item(bb_queue *q, uint64_t until);

/* Remove up to `n` items from a shut queue, counted as dropped. Returns their number. With the host
 * attached, and it stays so. */
int32_t bb_take_back(bb_queue *q, void **out, int32_t n);

/* Call `visit` for each item, in the order of bb_get, with the mutex held, until it returns
 * something else than 0, which is returned. With the host attached. Linear in what is queued. */
int32_t bb_visit(bb_queue *q, int32_t (*visit)(void *item, void *argument), void *argument);

/* Set the capacity, 1 to 2^24. What is queued beyond a smaller one stays. ACCEPTED, GONE or
 * NO_MEMORY. */
bb_result bb_set_capacity(bb_queue *q, int32_t capacity);

/* Items that were accepted and neither reported as done nor discarded. */
int64_t bb_unfinished(bb_queue *q);

/* Report an item as done. 0: all are already, and nothing has changed. */
int32_t bb_task_done(bb_queue *q);

/* Sleep until all items that were accepted are done or discarded, at most `timeout_ns`. 1: they
 * are, or the queue is gone. */
int32_t bb_wait_tasks(bb_queue *q, int64_t timeout_ns);
