/* admit.c: the slow path of an event that found the queue full: wait, then apply the policy.
 *
 * Guarantees
 * - One step with respect to Python's exceptions: when `admit` raises, the event is either accepted
 *   or unknown to the queue, and nothing was evicted for it.
 * - Signal handlers run between two slices of a wait, in the main thread, while no lock is held.
 *   One that raises ends the wait.
 * - What has expired is dropped between two slices of a wait, and before the policy is applied.
 * - Dropped deliveries are returned in a list that is allocated before anything is evicted.
 */
#include "native.h"

#define FOREVER UINT64_MAX
#define REPORT_AFTER_NS 10000000000u
#define MAX_CALLERS 32 /* handlers run in place, nested; beyond that the event is refused */

/* An admission in progress. */
typedef struct {
    route_object *route;
    PyObject *event;
    PyObject *report;        /* of failures, for handlers that run here */
    PyObject *on_standstill; /* or NULL */
    PyObject *purge;         /* drops what has expired; NULL: nothing can */
    PyObject *pause;         /* called instead of a sleep; NULL: the thread sleeps */
    PyObject *withdraw;      /* asked after each slice: whether to wait no longer; or NULL */
    bool withdrawn;
    bb_origin origin;
    bb_mode mode;
    bb_waiter *waiter; /* NULL: does not wait */
    uint64_t until;    /* when the wait ends, */
    uint64_t slice;    /* and for how long the thread sleeps before it lets signal handlers run */
    int limited;       /* the standstill rule does not apply */
    PyObject *lost;    /* event, recipient, hook depth, event, ...; None after the last */
    int32_t lost_count;
    int32_t first; /* the first loss of a streak */
} admission;

/* ---- waiting ----------------------------------------------------------------------------- */

static int purge(const admission *a) {
    if (a->purge == NULL) return 0;
    PyObject *result = PyObject_CallFunctionObjArgs(a->purge, NULL);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

/* Drop what has expired amid a wait. Hooks are called for it, which is no wait. */
static int purge_amid_wait(const admission *a) {
    bb_worker *worker = here.worker;
    if (worker != NULL) bb_worker_waits(worker, 0);
    int status = purge(a);
    if (worker != NULL) bb_worker_waits(worker, 1);
    return status;
}

/* Between two slices of a wait. */
static int between_slices(admission *a, uint64_t began) {
    if (PyErr_CheckSignals() < 0 || purge_amid_wait(a) < 0) return -1;
    if (a->withdraw != NULL) {
        PyObject *answer = PyObject_CallFunctionObjArgs(a->withdraw, NULL);
        if (answer == NULL) return -1;
        a->withdrawn = answer == Py_True;
        Py_DECREF(answer);
    }
    if (a->on_standstill == NULL || a->until != FOREVER || bb_clock() - began < REPORT_AFTER_NS ||
        bb_waiter_quiet(a->waiter) < REPORT_AFTER_NS)
        return 0;
    PyObject *result = PyObject_CallFunctionObjArgs(a->on_standstill, NULL);
    a->on_standstill = NULL; /* once is enough */
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

/* Have (until, limited, outside) do what others do while a thread sleeps. */
static int pause_once(const admission *a) {
    PyObject *result = PyObject_CallFunction(a->pause, "KOO", (unsigned long long)a->until,
                                             a->limited ? Py_True : Py_False,
                                             a->origin == BB_OUTSIDE ? Py_True : Py_False);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

static int wait_in_pauses(admission *a, bb_result *result) {
    while (*result == BB_WAITING && bb_now(a->route->queue) < a->until) {
        if (pause_once(a) < 0) return -1;
        *result = bb_waiter_wait(a->waiter, 0);
    }
    return 0;
}

static int wait_for_slots(admission *a, bb_result *result) {
    uint64_t now = bb_clock(), began = now;
    *result = bb_waiter_join(a->route->queue, &a->route->route, as_queued(a->event), here.hooks,
                             a->origin, a->limited, &a->waiter);
    if (a->pause != NULL) return wait_in_pauses(a, result);
    while (*result == BB_WAITING && now < a->until && !a->withdrawn) {
        *result = bb_waiter_wait(a->waiter, a->until - now > a->slice ? now + a->slice : a->until);
        now = bb_clock();
        if (*result == BB_WAITING && between_slices(a, began) < 0) return -1;
    }
    return 0;
}

/* Wait, unless the timeout is 0. Afterwards the waiter exists only if the event is undecided, FULL.
 * WAITING: it was withdrawn, and nothing has changed. */
static int wait_or_leave(admission *a, bb_result *result) {
    *result = BB_FULL;
    if (a->until == 0) return 0;
    bb_worker *worker = here.worker; /* so that not all workers wait for each other */
    if (worker != NULL) bb_worker_waits(worker, 1);
    int status = wait_for_slots(a, result);
    if (worker != NULL) bb_worker_waits(worker, 0);
    if (*result == BB_WAITING && !a->withdrawn) *result = BB_FULL;
    if (*result == BB_FULL && status == 0) status = purge(a);
    if (a->waiter != NULL && (status < 0 || *result != BB_FULL)) {
        if (bb_waiter_leave(a->waiter)) *result = BB_ACCEPTED;
        a->waiter = NULL;
    }
    return status;
}

/* ---- the policy -------------------------------------------------------------------------- */

static void add_lost(admission *a, const bb_delivery *delivery) {
    put_lost(a->lost, a->lost_count++, delivery);
}

/* The deliveries of the event from index `i` on are lost. */
static void add_lost_from(admission *a, int32_t i) {
    for (; i < a->route->route.count; i++) {
        bb_delivery lost = {
            .event = as_queued(a->event),
            .recipient = a->route->route.recipients[i],
            .depth = here.hooks,
        };
        add_lost(a, &lost);
    }
}

/* End the wait: NO_MEMORY, unless the event was admitted. */
static bb_result leave_without_memory(admission *a) {
    bool accepted = a->waiter != NULL && bb_waiter_leave(a->waiter);
    a->waiter = NULL;
    return accepted ? BB_ACCEPTED : BB_NO_MEMORY;
}

/* Apply the policy, with memory for `max_lost` losses. The wait has ended afterwards; NO_MEMORY:
 * nothing else has changed. */
static bb_result offer(admission *a, int32_t max_lost, bb_caller **caller) {
    const bb_route *route = &a->route->route;
    enum { ON_STACK = 16 };
    bb_delivery few[ON_STACK], *out = few;
    int32_t evicted = 0;
    if (max_lost > ON_STACK) out = PyMem_Malloc((size_t)max_lost * sizeof *out);
    a->lost = new_delivery_list(max_lost);
    bb_result result = BB_NO_MEMORY;
    if (out != NULL && a->lost != NULL) {
        result = bb_offer(a->route->queue, route, as_queued(a->event), here.hooks, a->origin,
                          a->mode, a->waiter, out, max_lost, &evicted, &a->first, caller);
        for (int32_t i = 0; i < evicted; i++) add_lost(a, &out[i]);
    } else {
        result = leave_without_memory(a);
    }
    a->waiter = NULL;
    if (out != few) PyMem_Free(out);
    return result;
}

static bb_result apply_policy(admission *a, bb_caller **caller) {
    if (a->mode == BB_CALLER_RUNS && here.callers >= MAX_CALLERS) a->mode = BB_REFUSE;
    int32_t max_lost = a->route->route.count;
    bb_result result;
    while ((result = offer(a, max_lost, caller)) == BB_FULL) { /* evict the whole queue */
        Py_CLEAR(a->lost);
        int32_t depth = bb_depth(a->route->queue);
        max_lost = depth > max_lost ? depth : 2 * max_lost;
    }
    if (result == BB_REFUSED) add_lost_from(a, 0);
    return result;
}

/* ---- running in place ---------------------------------------------------------------------- */

/* Call a handler in the publisher's thread, which counts as inside it. */
static int call_inside(admission *a, recipient_object *recipient) {
    handler_frame frame = {.queue = a->route->queue, .outer = here.innermost};
    int32_t hooks = here.hooks;
    here.innermost = &frame;
    here.hooks = 0; /* events that a handler publishes are not published by a hook */
    ticket_object *ticket = ticket_of(as_queued(a->event));
    PyObject *context = ticket != NULL ? ticket->context : NULL;
    int status = call_handler_in(context, recipient, event_of(as_queued(a->event)));
    here.hooks = hooks;
    here.innermost = frame.outer;
    return status;
}

/* Count the end of a delivery that ran here, at its ticket. -1: the completion hook raised. An
 * exception that is set before stays. */
static int end_here(admission *a, recipient_object *recipient, PyObject *error) {
    ticket_object *ticket = ticket_of(as_queued(a->event));
    if (ticket == NULL) return 0;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    int status = end_delivery(ticket, recipient, error != NULL ? FAILED : HANDLED, error, false);
    if (type != NULL) PyErr_Restore(type, value, traceback);
    return status;
}

/* Run one handler. -1: an exception that is no Exception, to be raised to the publisher. */
static int run_one(admission *a, recipient_object *recipient, bb_caller *caller) {
    PyObject *error = NULL, *event = event_of(as_queued(a->event));
    int raises = 0;
    if (call_inside(a, recipient) < 0) {
        raises = !PyErr_ExceptionMatches(PyExc_Exception);
        error = fetch_exception();
        if (raises) PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        else raises = report_failure(a->report, event, recipient, here.hooks, error) < 0;
    }
    bb_caller_done(caller, error != NULL);
    if (end_here(a, recipient, error) < 0) raises = 1;
    Py_XDECREF(error);
    return raises ? -1 : 0;
}

/* Run the event's handlers in this thread. An exception that is no Exception is raised to the
 * publisher; the remaining deliveries are then lost. */
static int run_here(admission *a, bb_caller *caller) {
    const bb_route *route = &a->route->route;
    int status = 0;
    bb_caller *outer = here.caller;
    here.callers++;
    here.caller = caller;
    for (int32_t i = 0; i < route->count && status == 0; i++) {
        recipient_object *recipient = recipient_of(route->recipients[i]);
        status = run_one(a, recipient, caller);
        if (status < 0 && i + 1 < route->count) {
            bb_caller_abort(caller);
            add_lost_from(a, i + 1);
        }
        Py_DECREF(a->event);
        Py_DECREF((PyObject *)recipient);
    }
    here.caller = outer;
    here.callers--;
    return status;
}

/* ---- the step ------------------------------------------------------------------------------ */

/* A tuple for fill_answer, made before anything is decided; NULL without memory. */
static PyObject *new_answer(uint64_t waited) {
    PyObject *answer = PyTuple_New(5), *ns = PyLong_FromUnsignedLongLong(waited);
    if (answer == NULL || ns == NULL) {
        Py_XDECREF(answer);
        Py_XDECREF(ns);
        return NULL;
    }
    PyTuple_SetItem(answer, 3, ns);
    return answer;
}

/* (result, first of a streak, lost or None, ns waited, exception to raise or None). Small ints are
 * not allocated: nothing here can fail. */
static PyObject *fill_answer(PyObject *answer, admission *a, bb_result result, PyObject *error) {
    PyTuple_SetItem(answer, 0, PyLong_FromLong((long)result));
    PyTuple_SetItem(answer, 1, PyLong_FromLong(a->first));
    PyTuple_SetItem(answer, 2, Py_NewRef(a->lost != NULL ? a->lost : Py_None));
    PyTuple_SetItem(answer, 4, error != NULL ? error : Py_NewRef(Py_None));
    return answer;
}

/* The event's fate is decided; the first thing after that, since anything may be raised then. */
static void settle(const admission *a, bb_result result) {
    if (result == BB_ACCEPTED || result == BB_EVICTED || result == BB_RUN) set_accepted(a->event);
    else set_refused(a->event);
}

static PyObject *admit(admission *a) {
    const bb_route *route = &a->route->route;
    bb_result result;
    uint64_t began = bb_now(a->route->queue);
    hold(a->event, route);
    if (wait_or_leave(a, &result) < 0) {
        if (result != BB_ACCEPTED) release(a->event, route);
        settle(a, result);
        return NULL;
    }
    PyObject *answer = new_answer(bb_now(a->route->queue) - began), *error = NULL;
    bb_caller *caller = NULL;
    if (result == BB_FULL)
        result = answer != NULL ? apply_policy(a, &caller) : leave_without_memory(a);
    if (result == BB_CLOSED || result == BB_GONE || result == BB_NO_MEMORY || result == BB_WAITING)
        release(a->event, route);
    settle(a, result);
    if (result == BB_RUN) {
        if (run_here(a, caller) < 0) error = fetch_exception();
        result = BB_ACCEPTED;
    }
    if (answer == NULL || result == BB_NO_MEMORY) {
        Py_XDECREF(answer);
        return PyErr_NoMemory();
    }
    return fill_answer(answer, a, result, error);
}

/* The end of a wait of `timeout` ns; negative: none. */
static uint64_t deadline_of(const bb_queue *queue, long long timeout) {
    if (timeout < 0) return FOREVER;
    return timeout == 0 ? 0 : bb_now(queue) + (uint64_t)timeout;
}

PyObject *route_admit(PyObject *op, PyObject *args) {
    PyObject *event, *report, *on_standstill, *purge, *pause, *withdraw;
    long long timeout, slice;
    int limited, mode;
    if (!PyArg_ParseTuple(args, "OLpiLOOOOO:admit", &event, &timeout, &limited, &mode, &slice,
                          &report, &on_standstill, &purge, &pause, &withdraw))
        return NULL;
    route_object *route = (route_object *)op;
    admission a = {
        .route = route,
        .event = event,
        .report = report,
        .on_standstill = on_standstill != Py_None ? on_standstill : NULL,
        .purge = purge != Py_None ? purge : NULL,
        .pause = pause != Py_None ? pause : NULL,
        .withdraw = withdraw != Py_None ? withdraw : NULL,
        .origin = origin_in(route->queue),
        .mode = (bb_mode)mode,
        .until = deadline_of(route->queue, timeout),
        .slice = (uint64_t)slice,
        .limited = limited,
    };
    if (a.origin != BB_OUTSIDE && timeout < 0)
        a.limited = 0; /* a handler never waits without limit */
    Py_INCREF(op);     /* the waiter refers to it, and signal handlers may drop it */
    PyObject *answer = admit(&a);
    Py_XDECREF(a.lost);
    Py_DECREF(op);
    return answer;
}
