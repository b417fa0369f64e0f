/* unattended.c: waiters that no thread sleeps for. They are admitted when it is their turn. Any
 * thread may ask for that, or withdraw one. */
#include "internal.h"

bb_result bb_waiter_state(bb_waiter *waiter) {
    bb_queue *q = waiter->q;
    if (is_gone(q)) return BB_GONE;
    void *token = queue_lock(q);
    bb_result result = waiter->admitted ? BB_ACCEPTED : waiter->rejected ? BB_CLOSED : BB_WAITING;
    queue_unlock(q, token);
    return result;
}

int32_t bb_waiter_withdraw(bb_waiter *waiter) {
    bb_queue *q = waiter->q;
    if (is_gone(q)) return 1;
    void *token = queue_lock(q);
    if (!waiter->admitted && !waiter->rejected) {
        remove_waiter(waiter);
        waiter->rejected = true;
        admit_waiters(q, time_if(q, q->timed)); /* it may have been the first */
    }
    int32_t withdrawn = !waiter->admitted;
    unlock_and_wake(q, token);
    return withdrawn;
}
