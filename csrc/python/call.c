/* call.c: running the handler of deliveries with a ticket: batches, contexts, retries, completion.
 *
 * Guarantees
 * - All deliveries of a call end alike: a handler that raises has failed on each. Each is then
 *   either queued again or reported, and all are counted in one step (bb_finish).
 * - A delivery's completion is counted after that step, so that a completion hook finds it in the
 *   statistics; the queue is not idle before the hook has returned.
 * - A handler that forks has one end, in the parent: the child neither retries nor calls the
 *   completion hook.
 * - Without memory for a batch the call has one delivery, and without memory for its list it fails.
 */
#include "native.h"

/* ---- the call -------------------------------------------------------------------------------- */

/* 0: the handler takes an event, not a list. */
static int32_t batch_of(const recipient_object *recipient) {
    return recipient->group != NULL ? recipient->group->batch : 0;
}

/* What the handler is called with: an event, or a list of events. NULL: without memory. */
static PyObject *new_argument(const handler_call *c) {
    if (batch_of(c->recipient) == 0) return Py_NewRef(event_of(c->deliveries[0].event));
    PyObject *events = PyList_New(c->n);
    for (int32_t i = 0; events != NULL && i < c->n; i++)
        PyList_SetItem(events, i, Py_NewRef(event_of(c->deliveries[i].event)));
    return events;
}

static void run_handler(handler_call *c) {
    PyObject *argument = new_argument(c);
    int status = -1;
    if (argument != NULL)
        status =
            call_handler_in(ticket_of(c->deliveries[0].event)->context, c->recipient, argument);
    Py_XDECREF(argument);
    if (status < 0) c->error = fetch_exception();
}

/* ---- retries --------------------------------------------------------------------------------- */

static long long retry_delay(const handler_call *c, const bb_delivery *d) {
    if (d->parked == NULL) return -1;
    PyObject *answer = PyObject_CallMethod((PyObject *)c->recipient, "_retry_delay", "iO",
                                           (int)d->parked->attempt, c->error);
    long long delay = answer != NULL ? PyLong_AsLongLong(answer) : -1;
    if (PyErr_Occurred()) PyErr_Clear();
    Py_XDECREF(answer);
    return delay;
}

/* Decide for each delivery whether it is run again or has failed, and report the failures. */
static void settle_failures(handler_call *c) {
    bool failed = false;
    for (int32_t i = 0; i < c->n; i++) {
        c->delays[i] = retry_delay(c, &c->deliveries[i]);
        if (c->delays[i] >= 0) {
            bb_retry(c->worker, c->deliveries[i].parked);
        } else {
            failed = true;
            report_from_worker(c->hooks->report, &c->deliveries[i], c->error);
        }
    }
    if (failed) bb_failed(c->worker);
}

/* Have a delayed delivery come back, at once if it cannot be arranged for later. */
static void schedule(const handler_call *c, ticket_object *ticket, bb_parked *parked,
                     long long delay) {
    if (ticket->forks != bb_fork_count()) return;
    PyObject *result = PyObject_CallFunction(c->hooks->retry, "OiL", (PyObject *)ticket,
                                             (int)(parked - ticket->ticket.parked), delay);
    if (result == NULL) {
        PyErr_Clear();
        bb_due(c->queue, parked);
    }
    Py_XDECREF(result);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Finish the call. What is to be run again is the queue's from then on, with its references. */
static void end_call(handler_call *c) {
    for (int32_t i = 0; i < c->n; i++) {
        if (c->delays[i] < 0) continue;
        Py_INCREF(object_of(c->deliveries[i].event));
        Py_INCREF((PyObject *)c->recipient);
    }
    bool completes = false;
    for (int32_t i = 0; i < c->n; i++)
        completes = completes || (c->delays[i] < 0 && ticket_of(c->deliveries[i].event)->on_done);
    bb_let_go(c->worker);
    bb_finish(c->worker, completes);
    for (int32_t i = 0; i < c->n; i++) {
        ticket_object *ticket = ticket_of(c->deliveries[i].event);
        if (c->delays[i] >= 0) schedule(c, ticket, c->deliveries[i].parked, c->delays[i]);
        else if (end_delivery(ticket, c->recipient, c->error != NULL ? FAILED : HANDLED, c->error,
                              true) < 0)
            PyErr_Clear(); /* another thread's exception; the hook's own are logged */
        Py_DECREF((PyObject *)ticket);
        if (i > 0) Py_DECREF((PyObject *)c->recipient); /* the first is the caller's */
    }
    if (completes) bb_completed(c->worker);
}

void end_call_of(const worker_hooks *hooks, bb_queue *queue, bb_worker *worker,
                 const bb_delivery *delivery, PyObject *error) {
    handler_call c = {.hooks = hooks,
                      .queue = queue,
                      .worker = worker,
                      .recipient = recipient_of(delivery->recipient),
                      .n = 1,
                      .error = error};
    c.deliveries = c.few;
    c.delays = c.few_delays;
    c.deliveries[0] = *delivery;
    c.delays[0] = -1;
    if (error != NULL) settle_failures(&c);
    end_call(&c);
    Py_XDECREF(error);
}

void prepare_call(handler_call *c, const worker_hooks *hooks, bb_queue *queue, bb_worker *worker,
                  const bb_delivery *first) {
    recipient_object *recipient = recipient_of(first->recipient);
    int32_t batch = batch_of(recipient);
    c->hooks = hooks;
    c->queue = queue;
    c->worker = worker;
    c->recipient = recipient;
    c->deliveries = c->few;
    c->delays = c->few_delays;
    c->n = 1;
    c->more = batch > 1 && batch <= FEW ? batch - 1 : 0;
    c->error = NULL;
    c->memory = NULL;
    if (batch > FEW) {
        c->memory = PyMem_Malloc((size_t)batch * (sizeof *c->deliveries + sizeof *c->delays));
        if (c->memory != NULL) {
            c->deliveries = c->memory;
            c->delays = (long long *)(c->deliveries + batch);
            c->more = batch - 1;
        }
    }
    c->deliveries[0] = *first;
}

PyObject *finish_prepared(handler_call *c) {
    for (int32_t i = 0; i < c->n; i++) c->delays[i] = -1;
    run_handler(c);
    if (c->error != NULL) settle_failures(c);
    end_call(c);
    PyMem_Free(c->memory);
    return c->error;
}

PyObject *run_call(const worker_hooks *hooks, bb_queue *queue, bb_worker *worker,
                   const bb_delivery *first) {
    handler_call c;
    prepare_call(&c, hooks, queue, worker, first);
    if (c.more > 0) c.n += bb_take_more(worker, c.deliveries + 1, c.more, c.recipient->batch_wait);
    return finish_prepared(&c);
}
