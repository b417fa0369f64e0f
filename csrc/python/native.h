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
 *
 * Without a GIL. What the GIL makes one step is one in a critical section of its object, in which
 * the thread must not wait for anything: the section is suspended while it does, also while it
 * waits for the lock of another object, or on some versions for that of the same, such as a dict
 * that it changes. For steps on a dict or a deque there is therefore a mutex of the process
 * (LOCK_TABLES). With it held nothing may be freed that could run code of the user, which might
 * need it.
 *
 * Constants. None, True and False are returned with a reference, by Py_NewRef. Py_RETURN_NONE and
 * its like take none when they are compiled with the headers of 3.12 and newer, to which constants
 * are immortal; to 3.10 and 3.11, which may load the same module, they are not.
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
#define LOCK_TABLES PyMutex_Lock(&tables);
#define UNLOCK_TABLES PyMutex_Unlock(&tables);
extern PyMutex tables;
#else
#define IS_FREE_THREADED 0
#define BEGIN_CRITICAL(object) {
#define END_CRITICAL }
#define LOCK_TABLES
#define UNLOCK_TABLES
#endif

#include "../queue/api.h"
#include "../queue/ticket.h"

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
    long long forks;      /* the number of forks that `account` counts after */
    char is_python;       /* the interpreter switches threads while it runs */
    char detaches;        /* its calls outlast their workers: see detached.c */
    bb_group *group;      /* NULL: deliveries to it are not grouped */
    long long batch_wait; /* ns */
    void *claim;          /* by the publish of its single event, see ticket.c */
} recipient_object;

/* The recipients of events of one type at one level, in the queue of one process. */
typedef struct {
    PyObject_HEAD
    PyObject *owner;      /* keeps `queue` alive */
    PyObject *recipients; /* tuple */
    PyObject *key;        /* keeps the object that is its key in a cache alive */
    PyObject *plan;       /* what Python does for each event (_core/plan.py); NULL: nothing */
    PyObject *buffers;    /* tuple: to put each event there is all that the plan asks; or NULL */
    bb_queue *queue;
    bb_route route;
} route_object;

/* The deliveries of one key to one recipient, which owns the group, and the table of its lanes. */
typedef struct {
    PyObject_HEAD
    Py_ssize_t pins; /* by tickets, which keep the recipient alive */
    bb_lane lane;
} lane_object;

/* See ticket.c. */
typedef struct {
    PyObject_HEAD
    PyObject *event;
    PyObject *recipients; /* tuple */
    PyObject *context;    /* for the handlers, or NULL */
    PyObject *hooks;
    PyObject *on_done; /* or NULL; then what follows is not counted */
    PyObject *failed;  /* list of (recipient, exception) */
    PyObject *dropped; /* list of (recipient, reason) */
    Py_ssize_t handled;
    Py_ssize_t remaining;
    long long forks;  /* of the process whose event it is; its children call no hook for it */
    char claims;      /* it has claimed recipients */
    char accepted;    /* or waits: `release` has no effect */
    bb_ticket ticket; /* of deliveries to grouped recipients; those with a serial lane pin it */
} ticket_object;

extern PyTypeObject *event_type, *recipient_type, *route_type, *publisher_type, *worker_type;
extern PyTypeObject *lane_type, *ticket_type, *buffer_type;

int add_event(PyObject *module);
int add_recipient(PyObject *module);
int add_route(PyObject *module);
int add_publisher(PyObject *module);
int add_worker(PyObject *module);
int add_handlers(PyObject *module);
int add_lane(PyObject *module);
int add_ticket(PyObject *module);
int add_completion(PyObject *module);
int add_ring(PyObject *module);
int add_buffer(PyObject *module);
int add_detached(PyObject *module);
int add_entry(PyObject *module);
int add_turn(PyObject *module);
int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type);

/* The last step of freeing an object. */
static inline void free_object(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

void release_lock(PyObject *lock); /* see entry.c */

static inline recipient_object *recipient_of(bb_recipient *account) {
    return (recipient_object *)((char *)account - offsetof(recipient_object, account));
}

/* ---- events and tickets ------------------------------------------------------------------ */

/* What the queue has as an event is an Event, or any object, or a ticket with one. */
static inline ticket_object *ticket_of(const void *queued) {
    bb_ticket *ticket = bb_ticket_of(queued);
    if (ticket == NULL) return NULL;
    return (ticket_object *)((char *)ticket - offsetof(ticket_object, ticket));
}

/* The object to which the queue has a reference for each delivery. */
static inline PyObject *object_of(void *queued) {
    ticket_object *ticket = ticket_of(queued);
    return ticket != NULL ? (PyObject *)ticket : (PyObject *)queued;
}

static inline PyObject *event_of(void *queued) {
    ticket_object *ticket = ticket_of(queued);
    return ticket != NULL ? ticket->event : (PyObject *)queued;
}

/* The other way round: `object` is a Ticket, or an event without one. */
static inline void *as_queued(PyObject *object) {
    if (Py_TYPE(object) != ticket_type) return object;
    return bb_with_ticket(&((ticket_object *)object)->ticket);
}

/* How a delivery ended. */
typedef enum { HANDLED, FAILED, DROPPED } ending;

/* Count the end of a delivery, and call the completion hook after the last. `why`: the exception,
 * or the reason. `in_worker`: by the worker that had it, where what the hook raises is logged,
 * whatever it is. */
int end_delivery(ticket_object *ticket, recipient_object *recipient, ending how, PyObject *why,
                 bool in_worker);

/* The object was accepted as an event, or not: if it is a ticket, its claims are final, or it gives
 * back what it has acquired. */
void set_accepted(PyObject *object);
void set_refused(PyObject *object);

/* It waits in the queue, whatever becomes of the code that has put it there. */
void set_waiting(PyObject *object);

/* Whether the recipient has had its single event. */
bool is_taken(const recipient_object *recipient);

/* A lane is kept, and its key with it, until each pin is taken out. */
bb_lane *pin(PyObject *lane);
void unpin(bb_lane *lane);
/* Hand an event to a buffer, or to each of a tuple of them. -1: to wake its consumer has raised,
 * and the event is there all the same. */
int put_in_buffer(PyObject *buffer, PyObject *event);
int put_in_buffers(PyObject *buffers, PyObject *event);

/* ---- references -------------------------------------------------------------------------- */

static inline void hold(PyObject *event, const bb_route *route) {
    for (int32_t i = 0; i < route->count; i++) {
        Py_INCREF(event);
        Py_INCREF((PyObject *)recipient_of(route->recipients[i]));
    }
}

/* Drop what `hold` took; if the caller has references of its own, nothing is freed. */
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
    bb_caller *caller; /* whose handlers run in place, the innermost; NULL: none */
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

PyObject *call_one(PyObject *callable, PyObject *argument);

#define MEMORY_TRIES 3 /* until what must not be lost is given up without memory */

/* Call a recipient's handler, in a copy of a context if there is one. -1: it raised. */
int call_handler(recipient_object *recipient, PyObject *event);
int call_handler_in(PyObject *context, recipient_object *recipient, PyObject *argument);

/* What a worker calls in Python, all of which let no exception pass. */
typedef struct {
    PyObject *report; /* (event, recipient, hook depth, exception) */
    PyObject *retry;  /* (ticket, index, delay in ns) */
    PyObject *drop;   /* (list as new_delivery_list makes it), of what has expired */
} worker_hooks;

#define FEW 32 /* deliveries of a call for which no memory is allocated */

/* A call of a handler for deliveries with a ticket: deliveries[0] is the one that was taken. It
 * must not be moved. */
typedef struct {
    const worker_hooks *hooks;
    bb_queue *queue;
    bb_worker *worker;
    recipient_object *recipient;
    bb_delivery *deliveries;
    long long *delays; /* until each is run again, ns; -1: it is not */
    int32_t n;
    int32_t more;    /* deliveries that may be added */
    PyObject *error; /* or NULL */
    void *memory;
    bb_delivery few[FEW];
    long long few_delays[FEW];
} handler_call;

/* Run the handler of a delivery with a ticket and finish it; see call.c. Afterwards the caller has
 * a reference to the recipient of `first`, and none to the event. Returns what the handler raised,
 * or NULL; no exception is set. */
PyObject *run_call(const worker_hooks *hooks, bb_queue *queue, bb_worker *worker,
                   const bb_delivery *first);

/* The same in two steps. Between them, `n` - 1 deliveries may be added, `more` at most. */
void prepare_call(handler_call *c, const worker_hooks *hooks, bb_queue *queue, bb_worker *worker,
                  const bb_delivery *first);
PyObject *finish_prepared(handler_call *c);

/* End a call of one delivery: report or retry it if there was an error, a reference that is taken
 * over. Of the delivery's references, the caller has that to the recipient afterwards. */
void end_call_of(const worker_hooks *hooks, bb_queue *queue, bb_worker *worker,
                 const bb_delivery *delivery, PyObject *error);

/* Begin a call that the handler ends later. Afterwards the caller has a reference to the recipient,
 * and none to the event. */
void detach_call(PyObject *owner, const worker_hooks *hooks, bb_queue *queue, bb_worker *worker,
                 const bb_delivery *delivery);

/* Report a failure from a worker; the exception is an object. */
void report_from_worker(PyObject *report, const bb_delivery *delivery, PyObject *error);

/* Put a delivery with its references into a list of new_delivery_list. */
#define LOST_FIELDS 4
void put_lost(PyObject *list, Py_ssize_t i, const bb_delivery *delivery);

/* Report a failure to `report(event, recipient, hooks, error)`. -1: that raised. */
int report_failure(PyObject *report, PyObject *event, recipient_object *recipient, int32_t hooks,
                   PyObject *error);

/* A list with places, None, for event, recipient, hook depth and ticket of `n` deliveries each. */
PyObject *new_delivery_list(int32_t n);

/* Clear the exception that is set and return it, with its traceback; never NULL. */
PyObject *fetch_exception(void);

#endif
