/* life.c: making and freeing a ring, and registering its routes. */
#include "internal.h"

#include <stdlib.h>

static bool init_sync(ring *ring) {
    return bb_mutex_init(&ring->mutex) && bb_cond_init(&ring->work) && bb_cond_init(&ring->idle);
}

static void init_lists(ring *ring) {
    ring->free_slot = -1;
    for (int32_t l = 0; l < BB_LEVELS; l++) ring->level[l].head = ring->level[l].tail = -1;
    ring->line.tail = &ring->line.head;
    ring->let_in.tail = &ring->let_in.head;
    ring->callers.tail = &ring->callers.head;
}

int64_t bb_ring_new(int32_t capacity, int32_t levels, int32_t monitoring, int64_t starvation_ns) {
    ring *ring = calloc(1, sizeof *ring);
    if (ring == NULL) return 0;
    ring->capacity = capacity;
    ring->levels = levels;
    ring->monitoring = monitoring != 0;
    ring->starvation = starvation_ns > 0 ? (uint64_t)starvation_ns : 0;
    ring->timed = ring->monitoring || ring->starvation > 0;
    ring->made = bb_clock();
    ring->slots = calloc((size_t)capacity + BB_OVERDRAFT, sizeof *ring->slots);
    ring->workers = calloc(BB_MAX_WORKERS, sizeof *ring->workers);
    /* The ring's own handle is a route like any other, which no event takes. */
    if (ring->slots != NULL && ring->workers != NULL && init_sync(ring))
        ring->routes = route_new(ring, 0, 0, 0);
    if (ring->routes == NULL) {
        free(ring->workers);
        free(ring->slots);
        free(ring);
        return 0;
    }
    init_lists(ring);
    return ring->routes->base;
}

static void free_waiters(waiter_list *list) {
    while (list->head != NULL) {
        waiter *waiter = list->head;
        waiter_unlink(list, waiter);
        waiter_free(waiter);
    }
}

void bb_ring_free(int64_t handle) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return;
    routes_free(ring->routes);
    free_waiters(&ring->line);
    free_waiters(&ring->let_in);
    free_waiters(&ring->callers);
    for (int32_t w = 0; w < ring->worker_count; w++) free(ring->workers[w]);
    free(ring->workers);
    free(ring->by_kind);
    free(ring->slots);
    bb_cond_destroy(&ring->idle);
    bb_cond_destroy(&ring->work);
    bb_mutex_destroy(&ring->mutex);
    free(ring);
}

void bb_abandon_all(void) { routes_abandon(); }

static bool grow_kinds(ring *ring, int32_t kinds) {
    if (kinds <= ring->kinds) return true;
    tally *grown = realloc(ring->by_kind, (size_t)kinds * sizeof *grown);
    if (grown == NULL) return false;
    for (int32_t k = ring->kinds; k < kinds; k++) grown[k] = (tally){0};
    ring->by_kind = grown;
    ring->kinds = kinds;
    return true;
}

int64_t bb_route(int64_t handle, int32_t kind, int32_t level, int32_t count) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return 0;
    void *token = ring_lock(ring);
    route *route = NULL;
    if (grow_kinds(ring, kind + 1)) route = route_new(ring, kind, level - 1, count);
    if (route != NULL) {
        route->next = ring->routes->next; /* behind the ring's own, which stays the first */
        ring->routes->next = route;
    }
    ring_unlock(ring, token);
    return route != NULL ? route->base : 0;
}
