/* ring.c: the slots and the levels; whoever calls holds the mutex.
 *
 * A slab with a slot for each delivery that fits, as many as can ever be needed, since a slot
 * holds an event with at least one delivery. Memory is touched only as far as it is used. A slot
 * is in the free list or in the queue of its level. The levels are lists threaded through the
 * slots rather than arrays of slot numbers: eight arrays of full capacity would be as large as
 * the slab itself, and only the ends are used.
 */
#include "internal.h"

bool open_to(const ring *ring, bool inside) {
    return ring->state == BB_OPEN || (inside && ring->state == BB_DRAINING);
}

bool has_room(const ring *ring, int32_t count) {
    return count <= ring->capacity - ring->queued;
}

static int32_t unused_slot(ring *ring) {
    int32_t index = ring->free_slot;
    if (index < 0) return ring->fresh_slot++;
    ring->free_slot = ring->slots[index].next;
    return index;
}

/* Precondition: has_room, or no more than BB_OVERDRAFT without it. */
void enqueue(ring *ring, const route *route, int64_t handle, uint64_t now) {
    int32_t index = unused_slot(ring);
    level_queue *queue = &ring->level[route->level];
    ring->slots[index] = (slot){
        .route = route,
        .handle = handle,
        .sequence = ring->sequence++,
        .accepted = now,
        .remaining = route->count,
        .next = -1,
        .prev = queue->tail,
    };
    if (queue->head < 0) {
        queue->head = index;
        ring->nonempty |= 1u << route->level;
    } else {
        ring->slots[queue->tail].next = index;
    }
    queue->tail = index;
    ring->queued += route->count;
    count_published(ring, route, route->count);
    if (ring->monitoring) count_arrivals(ring, route->count, now);
}

/* Take a slot, which is the head or the tail of its level, out of it. */
static void release_slot(ring *ring, int32_t level, int32_t index) {
    level_queue *queue = &ring->level[level];
    slot *slot = &ring->slots[index];
    if (slot->prev < 0) queue->head = slot->next;
    else ring->slots[slot->prev].next = slot->next;
    if (slot->next < 0) queue->tail = slot->prev;
    else ring->slots[slot->next].prev = slot->prev;
    if (queue->head < 0) ring->nonempty &= ~(1u << level);
    slot->next = ring->free_slot;
    ring->free_slot = index;
}

/* Take one delivery out of a level that is not empty. */
int64_t dequeue(ring *ring, int32_t level, bool newest, const route **route, uint64_t *accepted) {
    int32_t index = newest ? ring->level[level].tail : ring->level[level].head;
    slot *slot = &ring->slots[index];
    int64_t handle = slot->handle + (slot->route->count - slot->remaining);
    *route = slot->route;
    *accepted = slot->accepted;
    ring->queued--;
    if (--slot->remaining == 0) release_slot(ring, level, index);
    return handle;
}

/* Of the levels in `bits`, which is not 0, the one whose head was accepted first. */
static int32_t oldest(const ring *ring, uint32_t bits) {
    int32_t found = -1;
    for (int32_t level = 0; level < ring->levels; level++) {
        if (!(bits >> level & 1)) continue;
        const slot *head = &ring->slots[ring->level[level].head];
        if (found < 0 || head->sequence < ring->slots[ring->level[found].head].sequence)
            found = level;
    }
    return found;
}

/* The level to serve; the queue is not empty. Only heads are looked at, which is enough: within
 * a level nobody has waited longer than the head. */
int32_t next_level(const ring *ring, uint64_t now) {
    if (ring->starvation > 0) {
        int32_t level = oldest(ring, ring->nonempty);
        const slot *head = &ring->slots[ring->level[level].head];
        if (elapsed(head->accepted, now) > ring->starvation) return level;
    }
    return bb_highest_bit(ring->nonempty);
}

/* The levels that give way to an event of `level`. */
static uint32_t victims(const ring *ring, int32_t mode, int32_t level) {
    uint32_t above = (mode == BB_EVICT_OLDEST ? 2u : 1u) << level;
    return ring->nonempty & (above - 1);
}

/* How many deliveries could give way. Each level's depth is at hand in its tally. */
int32_t evictable(const ring *ring, int32_t mode, int32_t level) {
    uint32_t bits = victims(ring, mode, level);
    uint64_t depth = 0;
    for (int32_t l = 0; l < ring->levels; l++) {
        const tally *t = &ring->by_level[l];
        if (bits >> l & 1) depth += t->published - t->dropped - t->taken;
    }
    return (int32_t)depth;
}

/* Precondition: evictable. */
int64_t evict(ring *ring, int32_t mode, int32_t level) {
    uint32_t bits = victims(ring, mode, level);
    int32_t victim = mode == BB_EVICT_OLDEST ? oldest(ring, bits) : bb_highest_bit(bits & (0u - bits));
    const route *route;
    uint64_t accepted;
    int64_t handle = dequeue(ring, victim, false, &route, &accepted);
    count_dropped(ring, route, BB_WHY_EVICTED, 1);
    return handle;
}

static bool within(const route *route, int64_t first, int64_t handle) {
    return handle >= first && handle < first + route->count;
}

/* Whether any delivery of the event is queued, or open in a worker. Searches. */
bool holds(const ring *ring, const route *route, int64_t handle) {
    for (int32_t i = ring->level[route->level].head; i >= 0; i = ring->slots[i].next)
        if (ring->slots[i].handle == handle) return true;
    for (int32_t w = 0; w < ring->worker_count; w++)
        for (int32_t d = 0; d < ring->workers[w]->depth; d++)
            if (within(route, handle, ring->workers[w]->open[d].handle)) return true;
    return false;
}
