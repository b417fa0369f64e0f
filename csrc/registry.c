/* registry.c: from handles to routes, rings and workers.
 *
 * Routes live in chunks that never move, so a look-up needs no lock: a handle is only known after
 * its route was written, and whatever carried the handle to another thread carried the route too.
 * `registry` guards the rest. It is a leaf: nothing is called while it is held.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK 1024
#define CHUNKS 128

bb_host host;

static route *chunks[CHUNKS];
static route *free_routes;
static int32_t used = 1; /* route 0 is never given away, so that no handle is 0 */
static bb_mutex registry;
static bool registry_ready; /* bb_ring_new sets it: the host serialises the first call */

route *route_of(int64_t handle) {
    uint64_t id = (uint64_t)handle >> BB_SERIAL_BITS;
    if (id >= (uint64_t)CHUNK * CHUNKS || chunks[id / CHUNK] == NULL) return NULL;
    route *route = &chunks[id / CHUNK][id % CHUNK];
    return route->ring != NULL ? route : NULL;
}

ring *ring_of(int64_t handle) {
    route *route = route_of(handle);
    return route != NULL ? route->ring : NULL;
}

/* A worker's handle is its ring's, with the worker's number from 1 as the serial. */
worker *worker_of(ring *ring, int64_t handle) {
    int64_t serial = handle & (((int64_t)1 << BB_SERIAL_BITS) - 1);
    return serial >= 1 && serial <= ring->worker_count ? ring->workers[serial - 1] : NULL;
}

/* A route nobody uses; NULL if there is none or no memory. The registry is locked. */
static route *unused_route(void) {
    if (free_routes != NULL) {
        route *route = free_routes;
        free_routes = route->next;
        return route;
    }
    if (used >= CHUNK * CHUNKS) return NULL;
    route **chunk = &chunks[used / CHUNK];
    if (*chunk == NULL) {
        *chunk = calloc(CHUNK, sizeof **chunk);
        if (*chunk == NULL) return NULL;
    }
    route *route = &(*chunk)[used % CHUNK];
    route->base = (int64_t)used << BB_SERIAL_BITS;
    used++;
    return route;
}

route *route_new(ring *ring, int32_t kind, int32_t level, int32_t count) {
    if (!registry_ready) registry_ready = bb_mutex_init(&registry);
    bb_mutex_lock(&registry);
    route *route = unused_route();
    if (route != NULL) {
        route->kind = kind;
        route->level = level;
        route->count = count;
        route->next = NULL;
        route->ring = ring;
    }
    bb_mutex_unlock(&registry);
    return route;
}

void routes_free(route *first) {
    bb_mutex_lock(&registry);
    while (first != NULL) {
        route *next = first->next;
        first->ring = NULL;
        free(first->meters);
        first->meters = NULL;
        first->next = free_routes;
        free_routes = first;
        first = next;
    }
    bb_mutex_unlock(&registry);
}

void routes_abandon(void) {
    registry_ready = bb_mutex_init(&registry); /* its owner may not exist in this process */
    for (int32_t id = 1; id < used; id++) chunks[id / CHUNK][id % CHUNK].ring = NULL;
}
