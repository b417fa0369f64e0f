/* grouped.c: see grouped.h. */
#include "grouped.h"

#include <stdatomic.h>
#include <stdlib.h>

int64_t batch[MANY];

/* ---- making -------------------------------------------------------------------------------- */

grouped *grouped_new(fixture *f, int32_t limit, int32_t size) {
    grouped *g = calloc(1, sizeof *g);
    CHECK(f->groups < MAX_GROUPS);
    int32_t index = LEVELS + f->groups; /* of its recipient */
    f->group[f->groups++] = g;
    g->f = f;
    g->group.limit = limit;
    g->group.batch = size;
    for (int32_t level = 0; level < BB_LEVELS; level++) g->group.unkeyed[level].group = &g->group;
    for (int32_t key = 0; key < KEYS; key++)
        g->lane[key] = (bb_lane){.group = &g->group, .serial = true};
    for (int32_t level = 0; level < LEVELS; level++)
        g->route[level] =
            (bb_route){.level = level + 1, .count = 1, .recipients = &f->pointers[index]};
    return g;
}

static ticketed *ticket_for(fixture *f, int64_t event, bool parked) {
    ticketed *t = calloc(1, sizeof *t);
    t->next = f->tickets;
    t->number = event;
    t->ticket.count = 1;
    t->ticket.parked = parked ? &t->parked : NULL;
    f->tickets = t;
    return t;
}

static ticketed *grouped_ticket(grouped *g, int32_t level, int32_t key, int64_t event) {
    ticketed *t = ticket_for(g->f, event, true);
    t->parked.lane = key == NO_KEY ? &g->group.unkeyed[level - 1] : &g->lane[key];
    return t;
}

/* ---- publishing ---------------------------------------------------------------------------- */

bb_result post_expiring(grouped *g, int32_t level, int32_t key, int64_t event, uint64_t expires) {
    ticketed *t = grouped_ticket(g, level, key, event);
    t->ticket.expires = expires;
    return bb_push(g->f->q, &g->route[level - 1], bb_with_ticket(&t->ticket), 0, BB_OUTSIDE);
}

bb_result post(grouped *g, int32_t level, int32_t key, int64_t event) {
    return post_expiring(g, level, key, event, 0);
}

void post_some(grouped *g, int32_t level, int32_t key, int64_t first, int32_t n) {
    for (int32_t i = 0; i < n; i++) CHECK_INT(BB_ACCEPTED, post(g, level, key, first + i));
}

bb_result push_expiring(fixture *f, const bb_route *route, int64_t event, uint64_t expires) {
    ticketed *t = ticket_for(f, event, false);
    t->ticket.expires = expires;
    return bb_push(f->q, route, bb_with_ticket(&t->ticket), 0, BB_OUTSIDE);
}

bb_result offer_grouped(grouped *g, int32_t level, int32_t key, int64_t event, bb_mode mode) {
    fixture *f = g->f;
    ticketed *t = grouped_ticket(g, level, key, event);
    f->evicted = f->first = -1;
    return bb_offer(f->q, &g->route[level - 1], bb_with_ticket(&t->ticket), 0, BB_OUTSIDE, mode,
                    NULL, f->out, f->out_size, &f->evicted, &f->first, &f->caller);
}

bb_waiter *join_grouped(grouped *g, int32_t level, int32_t key, int64_t event, bb_origin origin) {
    bb_waiter *waiter = NULL;
    ticketed *t = grouped_ticket(g, level, key, event);
    last_join = bb_waiter_join(g->f->q, &g->route[level - 1], bb_with_ticket(&t->ticket), 0, origin,
                               true, &waiter);
    return waiter;
}

static ticketed **find(fixture *f, int64_t event) {
    ticketed **at = &f->tickets;
    while (*at != NULL && (*at)->number != event) at = &(*at)->next;
    CHECK(*at != NULL);
    return at;
}

bb_parked *parked_of(fixture *f, int64_t event) { return &(*find(f, event))->parked; }

void drop_ticket(fixture *f, int64_t event) {
    ticketed **at = find(f, event), *t = *at;
    *at = t->next;
    free(t);
}

/* ---- working ------------------------------------------------------------------------------- */

int64_t try_take(bb_worker *worker) {
    bb_delivery taken;
    switch (bb_try_take(worker, &taken)) {
    case BB_TOOK: return number_of(taken.event);
    case BB_EXPIRED: return -number_of(taken.event);
    default: return 0;
    }
}

int32_t take_more(bb_worker *worker, int32_t n, int64_t wait) {
    static bb_delivery outs[16][MANY]; /* in use until the call is finished */
    static atomic_uint calls;
    bb_delivery *out = outs[calls++ % 16];
    int32_t found = bb_take_more(worker, out, n, wait);
    for (int32_t i = 0; i < found; i++) batch[i] = number_of(out[i].event);
    return found;
}

void retry(fixture *f, bb_worker *worker, int64_t event) { bb_retry(worker, parked_of(f, event)); }
void due(fixture *f, int64_t event) { bb_due(f->q, parked_of(f, event)); }

/* ---- looking ------------------------------------------------------------------------------- */

static const char *of_file;
static int of_line;
#define AGREE(condition) check_that((condition), #condition, of_file, of_line)

static bool can_expire(const void *event, const bb_parked *p) {
    const bb_ticket *ticket = bb_ticket_of(event);
    return ticket != NULL && ticket->expires != 0 && (p == NULL || p->attempt == 0);
}

/* Slots of a level, and how many of them can expire. */
static int32_t count_slots(const bb_queue *q, int32_t level, int32_t *expiring) {
    int32_t n = 0;
    if (!(q->nonempty >> level & 1)) return 0;
    for (int32_t i = q->level[level].head; i >= 0; i = q->slots[i].next, n++)
        *expiring += can_expire(q->slots[i].event, NULL);
    return n;
}

static int32_t count_parked(const bb_queue *q, int32_t level, int32_t *expiring, int32_t *delayed) {
    int32_t n = 0;
    const bb_parked *older = NULL, *oldest = NULL;
    for (const bb_parked *p = q->first_parked[level]; p != NULL; older = p, p = p->newer) {
        AGREE(p->older == older && p->level == level && p->place != BB_UNUSED);
        AGREE(older == NULL || older->sequence < p->sequence);
        if (p->place == BB_OPENED) continue;
        if (n++ == 0) oldest = p;
        *expiring += can_expire(p->event, p);
        *delayed += p->place == BB_DELAYED;
    }
    AGREE(q->last_parked[level] == older && q->oldest_parked[level] == oldest);
    AGREE((q->parked_levels >> level & 1) == (n > 0));
    return n;
}

/* Lanes in a list, all of which are in `state`, in order, and hold what may be taken. */
static int32_t count_lanes(const bb_lane_list *list, int32_t level, bb_lane_state state,
                           const bb_group *of) {
    int32_t n = 0;
    const bb_lane *prev = NULL;
    for (const bb_lane *lane = list->head; lane != NULL; prev = lane, lane = lane->next) {
        AGREE(lane->prev == prev && lane->state == state && lane->level == level);
        AGREE(prev == NULL || prev->sequence < lane->sequence);
        AGREE(lane->head != NULL && lane->head->sequence == lane->sequence);
        AGREE(lane->head->place == BB_IN_LANE && !(lane->serial && lane->running > 0));
        n += of == NULL || lane->group == of;
    }
    AGREE(list->tail == prev);
    return n;
}

/* Whatever calls of a group the limit allows, workers find a lane for them. */
static void check_group(const bb_queue *q, const bb_group *group) {
    int32_t ready = 0, blocked = 0;
    for (int32_t level = 0; level < LEVELS; level++) {
        int32_t here = count_lanes(&group->blocked[level], level, BB_BLOCKED, group);
        AGREE((group->blocked_levels >> level & 1) == (here > 0));
        blocked += here;
        ready += count_lanes(&q->ready[level], level, BB_READY, group);
    }
    AGREE(group->limit == 0 || group->running <= group->limit);
    if (blocked == 0 || group->filling > 0) return;
    AGREE(group->limit > 0 && (ready > 0 || group->running == group->limit));
}

void check_lists(fixture *f, const char *file, int line) {
    bb_queue *q = f->q;
    int32_t expiring = 0, delayed = 0, queued = 0;
    of_file = file, of_line = line;
    bb_mutex_lock(&q->mutex);
    for (int32_t level = 0; level < q->levels; level++) {
        queued += count_slots(q, level, &expiring) + count_parked(q, level, &expiring, &delayed);
        int32_t ready = count_lanes(&q->ready[level], level, BB_READY, NULL);
        AGREE((q->ready_levels >> level & 1) == (ready > 0));
    }
    AGREE(q->queued == queued);
    AGREE(q->expiring == expiring && q->delayed == delayed);
    for (int32_t i = 0; i < f->groups; i++) check_group(q, &f->group[i]->group);
    bb_mutex_unlock(&q->mutex);
}
