/* levels.c: the slots and the levels.
 *
 * A slab with one slot per delivery, up to capacity and reserve. Memory is touched only as far as
 * it is used. A slot is in the free list or in the list of its level.
 *
 * What does not work, or was tried
 * - One array of slot numbers per level: eight arrays of full capacity would be as large as the
 *   slab itself, and only the ends are used. Hence lists threaded through the slots.
 * - One slot for all deliveries of an event saves 16 bytes per further recipient, but needs a
 *   count-down and arithmetic at each take.
 * - A slot that refers to its route needs a reference per event; type and recipient in the slot
 *   itself make 40 bytes.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* For an event with more deliveries than there are slots, which is accepted when the queue is
 * empty, for one that replaces a retry beyond the capacity, and for items (items.c). */
bool grow_slots(bb_queue *q, int32_t count) {
    ASSERT_LOCKED(q);
    assert(count > q->slot_count);
    slot *grown = realloc(q->slots, (size_t)count * sizeof *grown);
    if (grown == NULL) return false;
    q->slots = grown;
    q->slot_count = count;
    return true;
}

static int32_t unused_slot(bb_queue *q) {
    int32_t index = q->free_slot;
    if (index >= 0) {
        q->free_slot = q->slots[index].next;
        return index;
    }
    assert(q->fresh_slot < q->slot_count);
    return q->fresh_slot++;
}

static inline void append_slot(bb_queue *q, const bb_route *route, bb_recipient *recipient,
                               void *event, int32_t depth, uint64_t now) {
    int32_t level = route->level - 1, index = unused_slot(q);
    level_list *list = &q->level[level];
    q->slots[index] = (slot){
        .event = event,
        .recipient = recipient,
        .sequence = q->sequence++,
        .accepted = now,
        .next = -1,
        .type = (int16_t)route->type,
        .depth = (int16_t)depth,
    };
    if (list->head < 0) list->head = index;
    else q->slots[list->tail].next = index;
    list->tail = index;
}

/* Some deliveries of an event with a ticket are parked instead. */
BB_COLD static void place_with_ticket(bb_queue *q, const bb_route *route, bb_ticket *ticket,
                                      void *event, int32_t depth, uint64_t now) {
    assert(ticket->parked == NULL || ticket->count == route->count);
    for (int32_t i = 0; i < route->count; i++) {
        bb_recipient *recipient = route->recipients[i];
        bb_parked *p = ticket->parked != NULL ? &ticket->parked[i] : NULL;
        if (p == NULL || p->lane == NULL) {
            append_slot(q, route, recipient, event, depth, now);
            q->nonempty |= 1u << (route->level - 1);
            continue;
        }
        p->event = event;
        p->recipient = recipient;
        p->sequence = q->sequence++;
        p->accepted = now;
        p->level = route->level - 1;
        p->type = route->type;
        p->depth = depth;
        park(q, p);
    }
    if (ticket->expires == 0) return;
    if (q->expiring == 0 || ticket->expires < q->next_expiry) q->next_expiry = ticket->expires;
    q->expiring += route->count;
}

static inline void place(bb_queue *q, const bb_route *route, void *event, int32_t depth,
                         uint64_t now) {
    bb_ticket *ticket = bb_ticket_of(event);
    if (ticket != NULL) {
        place_with_ticket(q, route, ticket, event, depth, now);
    } else {
        for (int32_t i = 0; i < route->count; i++)
            append_slot(q, route, route->recipients[i], event, depth, now);
        if (route->count > 0) q->nonempty |= 1u << (route->level - 1);
    }
    q->queued += route->count;
    note(q, BB_NOTED_ACCEPTED, event, NULL, route->type, route->level - 1, now);
}

static inline void count_enqueued(bb_queue *q, const bb_route *route, int32_t events,
                                  uint64_t now) {
    for (int32_t i = 0; i < route->count; i++)
        route->recipients[i]->tally.published += (uint64_t)events;
    count_published(q, route->level - 1, route->type, events * route->count);
    if (q->monitoring) count_arrivals(q, events * route->count, now);
}

/* Precondition: there are slots for the event, see ensure_slots. */
void enqueue(bb_queue *q, const bb_route *route, void *event, int32_t depth, uint64_t now) {
    ASSERT_LOCKED(q);
    assert(route->level >= 1 && route->level <= q->levels);
    assert(route->count >= 0 && route->count <= q->slot_count - q->queued);
    place(q, route, event, depth, now);
    count_enqueued(q, route, 1, now);
}

/* Enqueue as many of `n` events as fit, counted in one step; returns their number. */
int32_t enqueue_many(bb_queue *q, const bb_route *route, void *const *events, int32_t n,
                     int32_t depth, bool handler, uint64_t now) {
    ASSERT_LOCKED(q);
    assert(route->level >= 1 && route->level <= q->levels && route->count > 0);
    int32_t done = 0;
    while (done < n && fits(q, route->count, handler)) place(q, route, events[done++], depth, now);
    if (done > 0) count_enqueued(q, route, done, now);
    return done;
}

BB_COLD static dequeued dequeue_parked(bb_queue *q, bb_parked *p) {
    dequeued taken = {
        .delivery = {p->event, p->recipient, p, p->depth},
        .accepted = p->accepted,
        .sequence = p->sequence,
        .level = p->level,
        .type = p->type,
    };
    unpark(q, p);
    q->queued--;
    return taken;
}

/* A delivery that was dequeued is dropped. */
static void end_dropped(bb_queue *q, bb_parked *p) {
    end_parked(q, p);
    unblock(q, p->lane->group);
}

dequeued drop_parked(bb_queue *q, bb_parked *p) {
    ASSERT_LOCKED(q);
    dequeued taken = dequeue_parked(q, p);
    end_dropped(q, p);
    return taken;
}

/* A delivery with a ticket has left the queue: note whether it had expired. One that has begun
 * before, and failed, does not expire. */
BB_COLD static void note_expiry(bb_queue *q, dequeued *taken, uint64_t now) {
    const bb_ticket *ticket = bb_ticket_of(taken->delivery.event);
    const bb_parked *p = taken->delivery.parked;
    if (ticket == NULL || ticket->expires == 0 || (p != NULL && p->attempt > 0)) return;
    q->expiring--;
    taken->expired = (now != 0 ? now : clock_of(q)) >= ticket->expires;
}

/* ---- the order of taking ------------------------------------------------------------------- */

/* At a level with work: the delivery to be taken next, if it is parked; NULL: that of a slot. */
BB_COLD static bb_parked *next_parked(const bb_queue *q, int32_t level) {
    const bb_lane *lane = q->ready[level].head;
    if (lane == NULL) return NULL;
    bool has_slots = q->nonempty >> level & 1;
    if (has_slots && q->slots[q->level[level].head].sequence < lane->sequence) return NULL;
    return lane->head;
}

/* When the next delivery of a level with work was accepted, and its sequence. */
static uint64_t next_accepted(const bb_queue *q, int32_t level, uint64_t *sequence) {
    const bb_parked *p = q->ready_levels != 0 ? next_parked(q, level) : NULL;
    const slot *s = &q->slots[q->level[level].head];
    *sequence = p != NULL ? p->sequence : s->sequence;
    return p != NULL ? p->accepted : s->accepted;
}

/* Take the oldest delivery that may be taken out of a level with work. `now`: 0 if not known. */
dequeued dequeue(bb_queue *q, int32_t level, uint64_t now) {
    ASSERT_LOCKED(q);
    assert(level >= 0 && level < q->levels && (levels_with_work(q) >> level & 1) && q->queued > 0);
    bb_parked *p = q->ready_levels != 0 ? next_parked(q, level) : NULL;
    dequeued taken = p != NULL ? dequeue_parked(q, p) : dequeue_slot(q, level);
    if (bb_ticket_of(taken.delivery.event) == NULL) return taken;
    note_expiry(q, &taken, now);
    if (taken.expired && p != NULL) end_dropped(q, p);
    return taken;
}

/* next_level, for a queue that knows starvation. Comparing the heads is enough: within a level no
 * delivery that may be taken has waited longer than the head. */
int32_t starving_level(const bb_queue *q, uint64_t now) {
    ASSERT_LOCKED(q);
    uint32_t bits = levels_with_work(q);
    uint64_t first = UINT64_MAX, since = 0, sequence;
    int32_t found = 0;
    for (int32_t level = 0; level < q->levels; level++) {
        if (!(bits >> level & 1)) continue;
        uint64_t accepted = next_accepted(q, level, &sequence);
        if (sequence < first) first = sequence, since = accepted, found = level;
    }
    return elapsed(since, now) > q->starvation ? found : bb_highest_bit(bits);
}

/* ---- the order of dropping ------------------------------------------------------------------- */

/* The sequence of the oldest queued delivery of a level; UINT64_MAX: there is none. */
static uint64_t oldest_at(const bb_queue *q, int32_t level) {
    uint64_t sequence = UINT64_MAX;
    if (q->nonempty >> level & 1) sequence = q->slots[q->level[level].head].sequence;
    if (q->parked_levels >> level & 1 && q->oldest_parked[level]->sequence < sequence)
        sequence = q->oldest_parked[level]->sequence;
    return sequence;
}

/* Of the levels in `bits`, the one with the oldest delivery. */
static int32_t oldest(const bb_queue *q, uint32_t bits) {
    uint64_t first = UINT64_MAX;
    int32_t found = -1;
    for (int32_t level = 0; level < q->levels; level++) {
        if (!(bits >> level & 1)) continue;
        uint64_t sequence = oldest_at(q, level);
        if (sequence < first) first = sequence, found = level;
    }
    return found;
}

/* The sequence of the oldest delivery that is in a slot, or was parked and has not ended;
 * UINT64_MAX: there is none. */
uint64_t first_sequence(const bb_queue *q) {
    ASSERT_LOCKED(q);
    uint64_t first = UINT64_MAX;
    for (int32_t level = 0; level < q->levels; level++) {
        uint64_t sequence = oldest_at(q, level);
        const bb_parked *p = q->first_parked[level];
        if (p != NULL && p->sequence < sequence) sequence = p->sequence;
        if (sequence < first) first = sequence;
    }
    return first;
}

/* The highest level of a queue that is not empty. */
int32_t highest_level(const bb_queue *q) {
    ASSERT_LOCKED(q);
    return bb_highest_bit(q->nonempty | q->parked_levels);
}

/* Take the oldest delivery of a level that is occupied, to drop it. */
dequeued dequeue_oldest(bb_queue *q, int32_t level) {
    ASSERT_LOCKED(q);
    bb_parked *p = q->oldest_parked[level];
    bool parked = p != NULL && p->sequence == oldest_at(q, level);
    dequeued taken = parked ? drop_parked(q, p) : dequeue_slot(q, level);
    note_expiry(q, &taken, 0);
    return taken;
}

/* The levels whose deliveries may be evicted for an event of `level`. */
static uint32_t victims(const bb_queue *q, bb_mode mode, int32_t level) {
    uint32_t above = (mode == BB_EVICT_OLDEST ? 2u : 1u) << level;
    return (q->nonempty | q->parked_levels) & (above - 1);
}

/* How many deliveries could be evicted; the depth of a level follows from its tally. */
int32_t count_evictable(const bb_queue *q, bb_mode mode, int32_t level) {
    ASSERT_LOCKED(q);
    assert(level >= 0 && level < q->levels);
    uint32_t bits = victims(q, mode, level);
    uint64_t depth = 0;
    for (int32_t l = 0; l < q->levels; l++) {
        const bb_tally *t = &q->by_level[l];
        if (bits >> l & 1) depth += t->published - t->dropped - t->taken;
    }
    return (int32_t)depth;
}

/* Precondition: count_evictable is not 0. */
bb_delivery evict(bb_queue *q, bb_mode mode, int32_t level, const void *by) {
    ASSERT_LOCKED(q);
    uint32_t bits = victims(q, mode, level);
    int32_t victim = mode == BB_EVICT_OLDEST ? oldest(q, bits) : bb_highest_bit(bits & (0u - bits));
    dequeued out = dequeue_oldest(q, victim);
    count_dropped(q, out.level, out.type, out.delivery.recipient, BB_WHY_EVICTED);
    if (q->notes != NULL)
        write_note(q, BB_NOTED_EVICTED, id_of(out.delivery.event), out.delivery.recipient, out.type,
                   out.level, id_of(by), 0);
    return out.delivery;
}
