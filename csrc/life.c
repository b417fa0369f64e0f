/* life.c: making and freeing a ring, and registering its routes and its workers. */
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
    if (ring->monitoring) ring->meters = calloc(BB_MAX_METERS, sizeof *ring->meters);
    /* The ring's own handle is a route like any other, which no event takes. */
    bool memory = ring->slots != NULL && ring->workers != NULL;
    if (ring->monitoring && ring->meters == NULL) memory = false;
    if (memory && init_sync(ring)) ring->routes = route_new(ring, 0, 0, 0);
    if (ring->routes == NULL) {
        free(ring->meters);
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
    free(ring->meters);
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

/* ---- workers ------------------------------------------------------------------------------- */

/* Register a worker, in a place that another has left if there is one; 0: no memory, or too many. */
static int64_t worker_new(ring *ring) {
    int32_t place = 0;
    while (place < ring->worker_count && !ring->workers[place]->left) place++;
    if (place == BB_MAX_WORKERS) return 0;
    if (place == ring->worker_count) {
        worker *new = calloc(1, sizeof *new);
        if (new == NULL) return 0;
        ring->workers[ring->worker_count++] = new;
    }
    *ring->workers[place] = (worker){.added = bb_clock()};
    ring->present++;
    return ring->routes->base + place + 1;
}

int64_t bb_worker_add(int64_t handle) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return 0;
    void *token = ring_lock(ring);
    int64_t result = worker_new(ring);
    ring_unlock(ring, token);
    return result;
}

static void worker_leaves(ring *ring, worker *worker) {
    worker->left = true;
    ring->present--;
}

bool left_as_surplus(ring *ring, worker *worker) {
    if (ring->surplus == 0) return false;
    ring->surplus--;
    worker_leaves(ring, worker);
    return true;
}

void bb_worker_gone(int64_t handle) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return;
    void *token = ring_lock(ring);
    worker *worker = worker_of(ring, handle);
    if (worker != NULL && !worker->left && !left_as_surplus(ring, worker))
        worker_leaves(ring, worker);
    ring_unlock(ring, token);
}

/* Register `n` more, or none. */
static int32_t add_workers(ring *ring, int32_t n, int64_t *added) {
    for (int32_t i = 0; i < n; i++) {
        added[i] = worker_new(ring);
        if (added[i] != 0) continue;
        while (i-- > 0) worker_leaves(ring, worker_of(ring, added[i]));
        return BB_NO_MEMORY;
    }
    return n;
}

int32_t bb_resize(int64_t handle, int32_t n, int64_t *added) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return BB_GONE;
    int32_t result = BB_CLOSED;
    void *token = ring_lock(ring);
    if (ring->state != BB_SHUT) {
        int32_t missing = n - ring->present; /* as if nobody had been told to leave */
        result = missing > 0 ? add_workers(ring, missing, added) : 0;
        if (result != BB_NO_MEMORY) ring->surplus = missing < 0 ? -missing : 0;
        if (ring->surplus > 0) bb_cond_broadcast(&ring->work);
    }
    ring_unlock(ring, token);
    return result;
}
