/* detached.c: deliveries that run without a worker, such as coroutines in an event loop.
 *
 * A worker hands its open delivery over (bb_detach) and takes the next. What it is handed to is a
 * bb_worker that takes nothing and is not counted among the workers; bb_retry, bb_failed, bb_finish
 * and bb_completed end its delivery as they would that of a worker, in whatever thread has it.
 *
 * Guarantees
 * - The delivery stays running, for all counts and waits, from the worker's step to the end; its
 *   lane and its group stay occupied.
 * - No CPU time and no time of a worker is attributed to it, since it has neither. */
#include "internal.h"

#include <stdlib.h>

bb_worker *bb_detach(bb_worker *worker) {
    bb_queue *q = worker->q;
    if (is_gone(q)) return NULL;
    bb_worker *carrier = calloc(1, sizeof *carrier);
    if (carrier == NULL) return NULL;
    void *token = queue_lock(q);
    assert(worker->open.open && worker->open.parked != NULL && worker->open.more_count == 0);
    carrier->q = q;
    carrier->detached = true;
    carrier->number = worker->number;
    carrier->open = worker->open;
    worker->open = (open_delivery){0};
    carrier->next = q->detached;
    if (q->detached != NULL) q->detached->prev = carrier;
    q->detached = carrier;
    queue_unlock(q, token);
    return carrier;
}

void bb_detached_free(bb_worker *carrier) {
    bb_queue *q = carrier->q;
    if (!is_gone(q)) {
        void *token = queue_lock(q);
        assert(carrier->detached && !carrier->open.open && !carrier->completing);
        if (carrier->prev != NULL) carrier->prev->next = carrier->next;
        else q->detached = carrier->next;
        if (carrier->next != NULL) carrier->next->prev = carrier->prev;
        wake_if_all_wait(q);
        queue_unlock(q, token);
    }
    free(carrier);
}

int32_t bb_detached_drop(bb_worker *carrier) {
    bb_queue *q = carrier->q;
    if (is_gone(q)) return 0;
    void *token = queue_lock(q);
    assert(carrier->detached && carrier->open.open);
    bb_parked *p = carrier->open.parked;
    bb_lane *lane = p->lane;
    begin_completing(carrier, p->sequence); /* until the drop is reported: bb_completed */
    note(q, BB_NOTED_DISCARDED, p->event, p->recipient, p->type, p->level, 0);
    count_untaken(q, p->level, p->type, p->recipient);
    count_dropped(q, p->level, p->type, p->recipient, BB_WHY_SHUTDOWN);
    end_parked(q, p);
    carrier->open = (open_delivery){0};
    lane_ends(q, lane);
    signal_if_idle(q);
    unlock_and_wake(q, token);
    return 1;
}
