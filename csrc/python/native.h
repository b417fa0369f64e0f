/* native.h: what the C files that know Python share.
 *
 * The one rule of references: a delivery that is handed to the queue carries a reference to its
 * event and one to its recipient (`hold`), and whoever gets it out has both (`drop`). References
 * are taken before the call, since a worker may be done with the event before that call returns,
 * and given back if the event was not accepted. None is dropped while a queue's mutex is held: a
 * finalizer may publish.
 *
 * The garbage collector does not see what is queued. The queue is a root, as a thread's stack is:
 * workers hold it, and every delivery is run or discarded. Traversing it would be wrong, too:
 * bb_take may dequeue while the GIL is released, so that between two passes of the collector an
 * event could leave the queue unseen.
 */
#ifndef BB_NATIVE_H
#define BB_NATIVE_H

/* A free-threaded Python has no limited API, and says so in its pyconfig.h. */
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
    long long forks; /* up to which it counts */
    char is_python;  /* its code passes the interpreter's own switch of threads */
} recipient_object;

/* What events of one type at one level go to, in the queue of one process. */
typedef struct {
    PyObject_HEAD
    PyObject *owner;      /* keeps `queue` alive */
    PyObject *recipients; /* tuple */
    PyObject *key;        /* keeps what its place in a cache is named after */
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

/* Give back what `hold` took; the caller has references of its own, so nothing is freed. */
static inline void release(PyObject *event, const bb_route *route) {
    for (int32_t i = 0; i < route->count; i++) {
        Py_DECREF(event);
        Py_DECREF((PyObject *)recipient_of(route->recipients[i]));
    }
}

/* ---- where the calling thread is --------------------------------------------------------- */

/* A handler that this thread runs; on the C stack, so that no exception can leave it behind. */
typedef struct running {
    bb_queue *queue;
    struct running *outer;
} running;

typedef struct {
    running *innermost;
    bb_worker *worker; /* NULL: this is no worker's thread */
    int32_t hooks;     /* hooks that led to what runs now, one inside the report of another */
    int32_t callers;   /* handlers run in place (CALLER_RUNS), one inside another */
} thread_state;
extern BB_THREAD_LOCAL thread_state here;

static inline bb_origin origin_in(const bb_queue *queue) {
    if (here.innermost == NULL) return BB_OUTSIDE;
    for (const running *r = here.innermost; r != NULL; r = r->outer)
        if (r->queue == queue) return BB_INSIDE;
    return BB_HANDLER;
}

/* Call a recipient's handler; 0, or -1 with an exception set. */
int call_handler(recipient_object *recipient, PyObject *event);

/* Report a failure, with the exception that is set, to `report(event, recipient, hooks,
 * exception)`. 0, or -1 with what that raised. */
int report_failure(PyObject *report, PyObject *event, recipient_object *recipient, int32_t hooks);

/* A list of event, recipient, hooks, event, ... for `n` deliveries, full of None. */
PyObject *new_delivery_list(int32_t n);

/* The exception that is set, with its traceback, and unset it; never NULL. */
PyObject *fetch_exception(void);

#endif
