/* worker.h: a worker, which is the loop of a thread (worker.c) or is called step by step
 * (stepped.c). */
#ifndef BB_WORKER_H
#define BB_WORKER_H

#include "native.h"

typedef struct stepped stepped;

typedef struct {
    PyObject_HEAD
    PyObject *owner; /* keeps `queue` alive */
    PyObject *ready; /* a lock, released when the loop is entered */
    worker_hooks hooks;
    PyObject *ended;  /* called at the end */
    PyObject *start;  /* the user's hooks, or None: before the first delivery, */
    PyObject *stop;   /* and after the last */
    PyObject *raised; /* (exception) of one of the two; lets no exception pass */
    bb_queue *queue;
    stepped *steps; /* NULL: it is a thread's */
    char entered;
} worker_object;

/* Run the handler of a plain event, report what it raises and return it, or NULL; no exception is
 * set. Drops the reference to the event. Inline: a call is 20 instructions in each delivery. */
static inline PyObject *run_plain(const worker_object *self, bb_worker *worker,
                                  const bb_delivery *d) {
    PyObject *error = NULL;
    if (call_handler(recipient_of(d->recipient), d->event) < 0) {
        error = fetch_exception();
        bb_failed(worker);
        report_from_worker(self->hooks.report, d, error);
    }
    bb_let_go(worker);
    Py_DECREF((PyObject *)d->event);
    return error;
}

void drop_expired(const worker_object *self, const bb_delivery *d);
void call_worker_hook(const worker_object *self, PyObject *hook);

extern PyMethodDef stepped_methods[];
int visit_stepped(worker_object *self, visitproc visit, void *arg);
void clear_stepped(worker_object *self);

#endif
