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
 * empty. Nothing else makes the slab grow. */
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

/* Precondition: there are slots for the event, see ensure_slots. */
void enqueue(bb_queue *q, const bb_route *route, void *event, int32_t depth, uint64_t now) {
    ASSERT_LOCKED(q);
    assert(route->level >= 1 && route->level <= q->levels);
    assert(route->count >= 0 && route->count <= q->slot_count - q->queued);
    int32_t level = route->level - 1;
    level_list *list = &q->level[level];
    for (int32_t i = 0; i < route->count; i++) {
        int32_t index = unused_slot(q);
        q->slots[index] = (slot){
            .event = event,
            .recipient = route->recipients[i],
            .sequence = q->sequence++,
            .accepted = now,
            .next = -1,
            .type = (int16_t)route->type,
            .depth = (int16_t)depth,
        };
        if (list->head < 0) list->head = index;
        else q->slots[list->tail].next = index;
        list->tail = index;
        route->recipients[i]->tally.published++;
    }
    if (route->count > 0) q->nonempty |= 1u << level;
    q->queued += route->count;
    count_published(q, level, route->type, route->count);
    if (q->monitoring) count_arrivals(q, route->count, now);
}

/* Take the oldest delivery out of a level that is not empty. */
dequeued dequeue(bb_queue *q, int32_t level) {
    ASSERT_LOCKED(q);
    assert(level >= 0 && level < q->levels && (q->nonempty >> level & 1) && q->queued > 0);
    level_list *list = &q->level[level];
    int32_t index = list->head;
    slot *s = &q->slots[index];
    dequeued taken = {
        .delivery = {.event = s->event, .recipient = s->recipient, .depth = s->depth},
        .accepted = s->accepted,
        .level = level,
        .type = s->type,
    };
    list->head = s->next;
    if (list->head < 0) q->nonempty &= ~(1u << level);
    s->next = q->free_slot;
    q->free_slot = index;
    q->queued--;
    return taken;
}

/* Of the levels in `bits`, which is not 0, the one whose head was accepted first. */
static int32_t oldest(const bb_queue *q, uint32_t bits) {
    assert(bits != 0);
    int32_t found = -1;
    for (int32_t level = 0; level < q->levels; level++) {
        if (!(bits >> level & 1)) continue;
        const slot *head = &q->slots[q->level[level].head];
        if (found < 0 || head->sequence < q->slots[q->level[found].head].sequence) found = level;
    }
    return found;
}

/* The level to serve; the queue is not empty. Comparing the heads is enough: within a level no
 * delivery has waited longer than the head. */
int32_t next_level(const bb_queue *q, uint64_t now) {
    ASSERT_LOCKED(q);
    assert(q->queued > 0 && q->nonempty != 0);
    if (q->starvation > 0) {
        int32_t level = oldest(q, q->nonempty);
        const slot *head = &q->slots[q->level[level].head];
        if (elapsed(head->accepted, now) > q->starvation) return level;
    }
    return bb_highest_bit(q->nonempty);
}

/* The levels whose deliveries may be evicted for an event of `level`. */
static uint32_t victims(const bb_queue *q, bb_mode mode, int32_t level) {
    uint32_t above = (mode == BB_EVICT_OLDEST ? 2u : 1u) << level;
    return q->nonempty & (above - 1);
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
bb_delivery evict(bb_queue *q, bb_mode mode, int32_t level) {
    ASSERT_LOCKED(q);
    uint32_t bits = victims(q, mode, level);
    int32_t victim = mode == BB_EVICT_OLDEST ? oldest(q, bits) : bb_highest_bit(bits & (0u - bits));
    dequeued out = dequeue(q, victim);
    count_dropped(q, out.level, out.type, out.delivery.recipient, BB_WHY_EVICTED);
    return out.delivery;
}
