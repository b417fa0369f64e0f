/* native.h: what the C files that know Python share.
 *
 * References. A delivery that is handed to the queue carries a reference to its event and one to
 * its recipient (`hold`), and the code that gets it out owns both. References are taken before the
 * call, since a worker may finish with the event before that call returns, and given back
 * (`release`) if the event was not accepted. None is dropped while a queue's mutex is held: a
 * finalizer may publish.
 *
 * The garbage collector does not see what is queued. The queue is a root, as a thread's stack is:
 * workers hold it, and every delivery is run or discarded. Traversing it would also be wrong:
 * bb_take may dequeue while the GIL is released, so that between two passes of the collector an
 * event could leave the queue unseen.
 *
 * Results. As in CPython, a function that returns int returns 0, or -1 with an exception set, and
 * one that returns an object returns NULL with an exception set, unless its comment says otherwise.
 */
#ifndef BB_NATIVE_H
#define BB_NATIVE_H

/* A free-threaded Python has no limited API; its pyconfig.h defines Py_GIL_DISABLED. */
#include <pyconfig.h>
#ifndef Py_GIL_DISABLED
#define Py_LIMITED_API 0x030a0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#define IS_FREE_THREADED 1
#define BEGIN_CRITICAL(object) Py_BEGIN_CRITICAL_SECTION(object);
#define END_CRITICAL Py_END_CRITICAL_SECTION();
#else
#define IS_FREE_THREADED 0
#define BEGIN_CRITICAL(object) {
#define END_CRITICAL }
#endif

#include "../queue/api.h"

/* ---- types ------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *type; /* exact str; NULL until __init__ */
    PyObject *data;
    PyObject *source; /* str */
    PyObject *weak;
    long long id;
    double timestamp;
} event_object;

/* Base of `Subscription`. */
typedef struct {
    PyObject_HEAD
    PyObject *handler;
    PyObject *weak;
    bb_recipient account;
    long long forks; /* the number of forks that `account` counts after */
    char is_python;  /* the interpreter switches threads while it runs */
} recipient_object;

/* The recipients of events of one type at one level, in the queue of one process. */
typedef struct {
    PyObject_HEAD
    PyObject *owner;      /* keeps `queue` alive */
    PyObject *recipients; /* tuple */
    PyObject *key;        /* keeps the object that is its key in a cache alive */
    bb_queue *queue;
    bb_route route;
} route_object;

extern PyTypeObject *event_type, *recipient_type, *route_type, *publisher_type, *worker_type;

int add_event(PyObject *module);
int add_recipient(PyObject *module);
int add_route(PyObject *module);
int add_publisher(PyObject *module);
int add_worker(PyObject *module);
int add_handlers(PyObject *module);
int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type);

static inline recipient_object *recipient_of(bb_recipient *account) {
    return (recipient_object *)((char *)account - offsetof(recipient_object, account));
}

/* ---- references -------------------------------------------------------------------------- */

static inline void hold(PyObject *event, const bb_route *route) {
    for (int32_t i = 0; i < route->count; i++) {
        Py_INCREF(event);
        Py_INCREF((PyObject *)recipient_of(route->recipients[i]));
    }
}

/* Drop what `hold` took; the caller has references of its own, so nothing is freed. */
static inline void release(PyObject *event, const bb_route *route) {
    for (int32_t i = 0; i < route->count; i++) {
        Py_DECREF(event);
        Py_DECREF((PyObject *)recipient_of(route->recipients[i]));
    }
}

/* ---- where the calling thread is --------------------------------------------------------- */

/* A handler that this thread runs; on the C stack, so that no exception can leave one behind. */
typedef struct handler_frame {
    bb_queue *queue;
    struct handler_frame *outer;
} handler_frame;

typedef struct {
    handler_frame *innermost;
    bb_worker *worker; /* NULL: not a worker's thread */
    int32_t hooks;     /* hook depth: hooks that the running code was called by, nested */
    int32_t callers;   /* handlers run in place (CALLER_RUNS), nested */
} thread_state;
extern BB_THREAD_LOCAL thread_state here;

static inline bb_origin origin_in(const bb_queue *queue) {
    if (here.innermost == NULL) return BB_OUTSIDE;
    for (const handler_frame *frame = here.innermost; frame != NULL; frame = frame->outer)
        if (frame->queue == queue) return BB_INSIDE;
    return BB_HANDLER;
}

/* Call a recipient's handler. */
int call_handler(recipient_object *recipient, PyObject *event);

/* Report a failure, with the exception that is set, to `report(event, recipient, hooks,
 * exception)`. -1: that raised. */
int report_failure(PyObject *report, PyObject *event, recipient_object *recipient, int32_t hooks);

/* A list for event, recipient, hook depth of each of `n` deliveries, filled with None. */
PyObject *new_delivery_list(int32_t n);

/* Clear the exception that is set and return it, with its traceback; never NULL. */
PyObject *fetch_exception(void);

#endif
