/* stress.h: what the threads of the stress programme share. */
#ifndef STRESS_H
#define STRESS_H

#include "stress_ledger.h"

#define ROUND_OPERATIONS 5000 /* short, so that many settings have their turn */
#define MIXED (BB_OVERDRAW + 1) /* any mode, drawn for each event */

typedef struct {
    int64_t ring;
    int32_t capacity, levels, publishers, takers, mode, monitoring, drain;
    int64_t starvation, deadline;
    uint32_t handlers_publish; /* one in so many handlers; 0: none */
    bool closes_early;
    flow flow;
    atomic_bool over;
} plan;

typedef struct {
    plan *plan;
    uint64_t random;
    int index; /* of its lanes */
    int operations;
    int64_t worker; /* of a taker */
    int open;       /* deliveries that the taker has open */
    account account;
} actor;

/* A random number of the actor's own sequence. */
uint32_t draw(actor *a, uint32_t below);

/* The threads; their argument is an actor. */
void *publisher(void *argument);
void *taker(void *argument);

#endif
