/* lanes.c: deliveries to grouped subscriptions, which wait in lanes instead of slots.
 *
 * Guarantees
 * - Deliveries of a serial lane (one key) are taken one at a time and in order of acceptance; one
 *   that waits for a retry keeps its turn.
 * - No more calls of a group run at once than its limit, and no worker waits for that: a lane that
 *   may not be served is in no list that workers look at.
 * - The lanes that may be served at a level are in order of their heads' sequences, so that plain
 *   and parked deliveries are taken in one order.
 * - Everything is constant but the place of a lane among those that are ready: it is looked for
 *   from the end, where a lane whose head is new belongs, and for MAX_STEPS lanes at most.
 *
 * A group that has reached its limit leaves its other lanes where they are: a worker that comes
 * across one moves it to `blocked` (settle_ready), and each call that ends brings one back.
 * To move all of them at once would be linear in the keys.
 *
 * What does not work, or was tried
 * - A list of what is queued only, in which a retry looks for its place: 80 us per failure while
 *   5,000 others are delayed, 4.5 ms with 95,000, against 0.1 to 0.5 us now.
 */
#include "internal.h"

#define MAX_STEPS 64

/* Whether no call of the lane's group may begin. While a worker waits for its batch to fill, what
 * arrives without a key is for that batch. */
static bool is_saturated(const bb_lane *lane) {
    const bb_group *group = lane->group;
    if (!lane->serial && group->filling > 0) return true;
    return group->limit > 0 && group->running >= group->limit;
}

/* ---- lists of lanes ------------------------------------------------------------------------ */

static bb_lane_list *list_of(bb_queue *q, bb_lane *lane, uint32_t **levels) {
    if (lane->state == BB_READY) {
        *levels = &q->ready_levels;
        return &q->ready[lane->level];
    }
    *levels = &lane->group->blocked_levels;
    return &lane->group->blocked[lane->level];
}

static void unlink_lane(bb_queue *q, bb_lane *lane) {
    uint32_t *levels;
    bb_lane_list *list = list_of(q, lane, &levels);
    if (lane->prev != NULL) lane->prev->next = lane->next;
    else list->head = lane->next;
    if (lane->next != NULL) lane->next->prev = lane->prev;
    else list->tail = lane->prev;
    if (list->head == NULL) *levels &= ~(1u << lane->level);
    lane->prev = lane->next = NULL;
    lane->state = BB_NOT_READY;
}

static void link_lane(bb_queue *q, bb_lane *lane, bb_lane_state state) {
    lane->state = state;
    lane->level = lane->head->level;
    lane->sequence = lane->head->sequence;
    uint32_t *levels;
    bb_lane_list *list = list_of(q, lane, &levels);
    bb_lane *before = list->tail;
    for (int32_t steps = 0; before != NULL && before->sequence > lane->sequence; steps++) {
        if (steps == MAX_STEPS) break;
        before = before->prev;
    }
    lane->prev = before;
    lane->next = before != NULL ? before->next : list->head;
    if (lane->next != NULL) lane->next->prev = lane;
    else list->tail = lane;
    if (before != NULL) before->next = lane;
    else list->head = lane;
    *levels |= 1u << lane->level;
}

/* The lane's head, or whether it may be served, has changed: put it where it belongs. */
static void place_lane(bb_queue *q, bb_lane *lane) {
    bool ready = lane->head != NULL && lane->head->place != BB_DELAYED &&
                 !(lane->serial && lane->running > 0);
    if (lane->state != BB_NOT_READY) {
        if (ready && lane->sequence == lane->head->sequence) return;
        unlink_lane(q, lane);
    }
    if (ready) link_lane(q, lane, is_saturated(lane) ? BB_BLOCKED : BB_READY);
}

/* A call of the group has ended, or a lane that was ready has lost its delivery without a call: the
 * next lane is ready. Unless the group has reached its limit, workers find one of its lanes. */
void unblock(bb_queue *q, bb_group *group) {
    ASSERT_LOCKED(q);
    if (group->blocked_levels == 0) return;
    bb_lane *lane = group->blocked[bb_highest_bit(group->blocked_levels)].head;
    if (is_saturated(lane)) return;
    unlink_lane(q, lane);
    link_lane(q, lane, BB_READY);
}

/* Move lanes whose groups are saturated away from the heads of their lists. */
void settle_ready(bb_queue *q) {
    ASSERT_LOCKED(q);
    for (int32_t level = 0; q->ready_levels >> level; level++) {
        bb_lane *lane;
        while ((lane = q->ready[level].head) != NULL && is_saturated(lane)) {
            unlink_lane(q, lane);
            link_lane(q, lane, BB_BLOCKED);
        }
    }
}

/* ---- parked deliveries ----------------------------------------------------------------------- */

/* The list of a level has all that was parked there and has not ended, also what is running, in the
 * order of acceptance: what comes back for a retry is in its place already. */
static void enlist(bb_queue *q, bb_parked *p) {
    p->older = q->last_parked[p->level];
    if (p->older != NULL) p->older->newer = p;
    else q->first_parked[p->level] = p;
    q->last_parked[p->level] = p;
}

static void delist(bb_queue *q, bb_parked *p) {
    if (p->older != NULL) p->older->newer = p->newer;
    else q->first_parked[p->level] = p->newer;
    if (p->newer != NULL) p->newer->older = p->older;
    else q->last_parked[p->level] = p->older;
    p->older = p->newer = NULL;
}

static void set_oldest(bb_queue *q, int32_t level, bb_parked *p) {
    q->oldest_parked[level] = p;
    if (p != NULL) q->parked_levels |= 1u << level;
    else q->parked_levels &= ~(1u << level);
}

/* It is queued, or again. */
static void note_queued(bb_queue *q, bb_parked *p) {
    const bb_parked *oldest = q->oldest_parked[p->level];
    if (oldest == NULL || p->sequence < oldest->sequence) set_oldest(q, p->level, p);
}

/* It is not queued any more: skip what is running. */
static void note_taken_out(bb_queue *q, bb_parked *p) {
    int32_t level = p->level;
    if (q->oldest_parked[level] != p) return;
    while (p != NULL && p->place == BB_OPENED) p = p->newer;
    set_oldest(q, level, p);
}

static void leave_lane(bb_parked *p) {
    bb_lane *lane = p->lane;
    if (lane->last_retry == p) lane->last_retry = p->prev;
    if (p->prev != NULL) p->prev->next = p->next;
    else lane->head = p->next;
    if (p->next != NULL) p->next->prev = p->prev;
    else lane->tail = p->prev;
    p->prev = p->next = NULL;
}

static void append_to_lane(bb_parked *p) {
    p->prev = p->lane->tail;
    if (p->prev != NULL) p->prev->next = p;
    else p->lane->head = p;
    p->lane->tail = p;
}

static void prepend_to_lane(bb_parked *p) {
    p->next = p->lane->head;
    if (p->next != NULL) p->next->prev = p;
    else p->lane->tail = p;
    p->lane->head = p;
}

/* Behind the other retries, in front of all that have not begun yet. */
static void insert_retry(bb_parked *p) {
    bb_lane *lane = p->lane;
    p->prev = lane->last_retry;
    p->next = p->prev != NULL ? p->prev->next : lane->head;
    if (p->prev != NULL) p->prev->next = p;
    else lane->head = p;
    if (p->next != NULL) p->next->prev = p;
    else lane->tail = p;
    lane->last_retry = p;
}

void park(bb_queue *q, bb_parked *p) {
    ASSERT_LOCKED(q);
    assert(p->place == BB_UNUSED);
    p->place = BB_IN_LANE;
    enlist(q, p);
    note_queued(q, p);
    append_to_lane(p);
    if (p->lane->head == p) place_lane(q, p->lane);
    if (p->lane->group->filling > 0) bb_cond_broadcast(&q->fill);
}

/* Take a parked delivery out of the queue, to be run or dropped. Then comes lane_begins, or
 * end_parked and unblock. */
void unpark(bb_queue *q, bb_parked *p) {
    ASSERT_LOCKED(q);
    if (p->place == BB_DELAYED) q->delayed--;
    if (p->place != BB_DELAYED || p->lane->serial) leave_lane(p);
    p->place = BB_OPENED;
    note_taken_out(q, p);
    place_lane(q, p->lane);
}

/* It was dropped, or its call has ended: the queue forgets it. */
void end_parked(bb_queue *q, bb_parked *p) {
    ASSERT_LOCKED(q);
    assert(p->place == BB_OPENED);
    delist(q, p);
    p->place = BB_UNUSED;
}

/* A call begins, with the lane's delivery that was just taken out. */
void lane_begins(bb_queue *q, bb_lane *lane) {
    ASSERT_LOCKED(q);
    lane->running++;
    lane->group->running++;
    place_lane(q, lane);
}

void lane_ends(bb_queue *q, bb_lane *lane) {
    ASSERT_LOCKED(q);
    assert(lane->running > 0 && lane->group->running > 0);
    lane->running--;
    lane->group->running--;
    place_lane(q, lane);
    unblock(q, lane->group);
}

/* The next delivery that can go into the same call as those of `lane`; NULL: none. */
bb_parked *next_of_batch(const bb_lane *lane) {
    if (lane->serial)
        return lane->head != NULL && lane->head->place != BB_DELAYED ? lane->head : NULL;
    const bb_group *group = lane->group;
    for (int32_t level = BB_LEVELS - 1; level >= 0; level--)
        if (group->unkeyed[level].head != NULL) return group->unkeyed[level].head;
    return NULL;
}

/* The worker that runs a call of the lane waits for its batch to fill: see park. */
void begin_filling(bb_queue *q, bb_lane *lane) {
    ASSERT_LOCKED(q);
    (void)q;
    lane->group->filling++;
}

/* What it has left is for others. */
void end_filling(bb_queue *q, bb_lane *lane) {
    ASSERT_LOCKED(q);
    lane->group->filling--;
    for (int32_t level = 0; !lane->serial && level < q->levels; level++) unblock(q, lane->group);
}

/* ---- retries --------------------------------------------------------------------------------- */

/* A delivery that has failed is queued again and waits. Of a serial lane it keeps the turn: several
 * of one call are given back the last first. */
void delay(bb_queue *q, bb_parked *p) {
    ASSERT_LOCKED(q);
    p->place = BB_DELAYED;
    p->attempt++;
    q->delayed++;
    note_queued(q, p);
    if (!p->lane->serial) return;
    prepend_to_lane(p);
    place_lane(q, p->lane);
}

/* Its time has come. Does nothing if it was evicted or discarded. */
void end_delay(bb_queue *q, bb_parked *p) {
    ASSERT_LOCKED(q);
    if (p->place != BB_DELAYED) return;
    p->place = BB_IN_LANE;
    q->delayed--;
    if (!p->lane->serial) insert_retry(p);
    place_lane(q, p->lane);
    if (p->lane->group->filling > 0) bb_cond_broadcast(&q->fill);
}
