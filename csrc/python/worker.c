/* worker.c: the loop of a worker's thread.
 *
 * Guarantees
 * - No exception raised by a handler, a hook, a tracer or another thread
 *   (PyThreadState_SetAsyncExc) ends the loop or affects another delivery: no Python code of this
 *   package runs between two handlers.
 * - An event is released when its handler has returned, before the delivery counts as processed and
 *   before the next is taken; its finalizer still runs inside the delivery.
 * - An idle worker keeps no reference to an event or a subscription.
 * - Handlers in C do not starve other threads: the interpreter does not switch threads while they
 *   run, so after FAIR_NS of them the loop releases the GIL once.
 *
 * The loop is a callable object that the thread runs. A tracer or a profiler does not see its call,
 * so neither can raise between the thread's start and the first handler.
 *
 * What does not work, or was tried
 * - Never releasing the GIL between C handlers: other threads waited up to 3.3 s. The limited API
 *   cannot tell whether a thread waits for it.
 * - The loop in Python: some 50 ns more per event, and an exception could be raised between two of
 *   its lines.
 * - A handler_frame per delivery instead of one for the loop: 110 ns instead of 90.
 * - Dropping the recipient's reference before the delivery is finished: its account is written then
 *   (a use after free). Dropping it after bb_take: a sleeping worker would keep it. Hence the
 *   bb_try_take in `take`.
 */
#include "worker.h"

PyTypeObject *worker_type;

#define FAIR_NS 2000000u
#define REPORT_TRIES 3 /* another thread's exception may interrupt the report */

/* Worker(owner, address, ready, report, retry, drop, ended, start, stop, raised) */
static PyObject *worker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    PyObject *owner, *address, *ready, *report, *retry, *drop, *ended, *start, *stop, *raised;
    if (!PyArg_ParseTuple(args, "OO!OOOOOOOO:Worker", &owner, &PyLong_Type, &address, &ready,
                          &report, &retry, &drop, &ended, &start, &stop, &raised))
        return NULL;
    void *queue = PyLong_AsVoidPtr(address);
    if (queue == NULL) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "address must not be 0");
        return NULL;
    }
    PyObject *op = PyType_GenericNew(type, NULL, NULL);
    if (op == NULL) return NULL;
    worker_object *self = (worker_object *)op;
    self->owner = Py_NewRef(owner);
    self->ready = Py_NewRef(ready);
    self->hooks.report = Py_NewRef(report);
    self->hooks.retry = Py_NewRef(retry);
    self->hooks.drop = Py_NewRef(drop);
    self->ended = Py_NewRef(ended);
    self->start = Py_NewRef(start);
    self->stop = Py_NewRef(stop);
    self->raised = Py_NewRef(raised);
    self->queue = queue;
    return op;
}

static int worker_traverse(PyObject *op, visitproc visit, void *arg) {
    worker_object *self = (worker_object *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->owner);
    Py_VISIT(self->ready);
    Py_VISIT(self->hooks.report);
    Py_VISIT(self->hooks.retry);
    Py_VISIT(self->hooks.drop);
    Py_VISIT(self->ended);
    Py_VISIT(self->start);
    Py_VISIT(self->stop);
    Py_VISIT(self->raised);
    return visit_stepped(self, visit, arg);
}

static int worker_clear(PyObject *op) {
    worker_object *self = (worker_object *)op;
    clear_stepped(self);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->ready);
    Py_CLEAR(self->hooks.report);
    Py_CLEAR(self->hooks.retry);
    Py_CLEAR(self->hooks.drop);
    Py_CLEAR(self->ended);
    Py_CLEAR(self->start);
    Py_CLEAR(self->stop);
    Py_CLEAR(self->raised);
    return 0;
}

static void worker_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    worker_clear(op);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

/* ---- the loop ------------------------------------------------------------------------------ */

void report_from_worker(PyObject *report, const bb_delivery *d, PyObject *error) {
    recipient_object *recipient = recipient_of(d->recipient);
    for (int tries = 0; tries < REPORT_TRIES; tries++) {
        if (report_failure(report, event_of(d->event), recipient, d->depth, error) == 0) break;
        PyErr_Clear();
    }
}

static void run(worker_object *self, bb_worker *worker, const bb_delivery *d) {
    if (ticket_of(d->event) != NULL && recipient_of(d->recipient)->detaches) {
        detach_call(self->owner, &self->hooks, self->queue, worker, d);
        return;
    }
    PyObject *error;
    if (ticket_of(d->event) != NULL) error = run_call(&self->hooks, self->queue, worker, d);
    else error = run_plain(self, worker, d);
    Py_XDECREF(error);
}

/* A delivery has expired: report it. Without memory for the list the hook is not called; the drop
 * is counted all the same. */
void drop_expired(const worker_object *self, const bb_delivery *d) {
    PyObject *lost = NULL, *result = NULL;
    for (int tries = 0; lost == NULL && tries < MEMORY_TRIES; tries++) {
        PyErr_Clear();
        lost = new_delivery_list(1);
    }
    if (lost == NULL) {
        PyErr_Clear();
        Py_DECREF(object_of(d->event));
        Py_DECREF((PyObject *)recipient_of(d->recipient));
        return;
    }
    put_lost(lost, 0, d);
    for (int tries = 0; result == NULL && tries < MEMORY_TRIES; tries++) {
        PyErr_Clear(); /* it did not begin: what it raises is logged there */
        result = PyObject_CallFunctionObjArgs(self->hooks.drop, lost, NULL);
    }
    PyErr_Clear();
    Py_XDECREF(result);
    Py_DECREF(lost);
}

/* Release the GIL once if handlers in C have kept it for long. */
static void yield_gil_if_due(uint64_t *since) {
    uint64_t now = bb_clock();
    if (now - *since < FAIR_NS) return;
    PyEval_RestoreThread(PyEval_SaveThread());
    *since = bb_clock();
}

/* The recipient's account is written when the delivery is finished, that is, when the next is
 * taken, so its reference is dropped after that, but before the thread sleeps. With BB_LEAVE
 * `worker` is freed, so the finalizer must not find it in `here`. */
static bb_took take(bb_worker *worker, bb_delivery *delivery, PyObject **finished) {
    bb_took took = BB_NOTHING;
    if (*finished != NULL) {
        took = bb_try_take(worker, delivery);
        if (took == BB_LEAVE) here.worker = NULL;
        Py_CLEAR(*finished);
    }
    return took == BB_NOTHING ? bb_take(worker, delivery) : took;
}

/* Call on_worker_start or on_worker_stop, directly: an exception from another thread then strikes
 * in it, as it would in a handler, and is reported as its own. */
void call_worker_hook(const worker_object *self, PyObject *hook) {
    if (hook == Py_None) return;
    here.hooks++;
    PyObject *result = PyObject_CallFunctionObjArgs(hook, NULL);
    PyObject *error = result == NULL ? fetch_exception() : NULL;
    Py_XDECREF(result);
    for (int tries = 0; error != NULL && tries < REPORT_TRIES; tries++) {
        result = PyObject_CallFunctionObjArgs(self->raised, error, NULL);
        if (result == NULL) PyErr_Clear();
        else Py_CLEAR(error);
        Py_XDECREF(result);
    }
    Py_XDECREF(error);
    here.hooks--;
}

/* Everything in the loop counts as inside a handler of the queue: handlers, hooks, finalizers of
 * events and of handlers. This thread must not wait for itself. */
static void loop(worker_object *self, bb_worker *worker) {
    handler_frame frame = {.queue = self->queue, .outer = here.innermost};
    bb_delivery delivery;
    PyObject *finished = NULL;
    uint64_t fair_since = bb_clock();
    here.innermost = &frame;
    here.worker = worker;
    int64_t forks = bb_fork_count();
    call_worker_hook(self, self->start);
    bb_took took;
    while ((took = take(worker, &delivery, &finished)) != BB_LEAVE) {
        if (took == BB_EXPIRED) {
            drop_expired(self, &delivery);
            continue;
        }
        recipient_object *recipient = recipient_of(delivery.recipient);
        run(self, worker, &delivery);
        finished = (PyObject *)recipient;
        if (!recipient->is_python) yield_gil_if_due(&fair_since);
    }
    here.worker = NULL;
    /* In the child of a fork that a handler made, what on_worker_start has opened is the parent's.
     */
    if (bb_fork_count() == forks) call_worker_hook(self, self->stop);
    here.innermost = frame.outer;
}

static PyObject *worker_call(PyObject *op, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    worker_object *self = (worker_object *)op;
    bb_worker *worker = bb_worker_enter(self->queue, bb_thread_id());
    self->entered = 1;
    release_lock(self->ready);
    if (worker != NULL) loop(self, worker);
    return PyObject_CallFunctionObjArgs(self->ended, NULL);
}

static PyMemberDef members[] = {
    {"entered", T_BOOL, offsetof(worker_object, entered), READONLY,
     "Whether the thread has reached the loop."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Worker(owner, address, ready, report, retry, drop, ended, start, stop, raised)\n--\n\n"
     "The loop of a worker's thread."},
    {Py_tp_new, worker_new},
    {Py_tp_call, worker_call},
    {Py_tp_traverse, worker_traverse},
    {Py_tp_clear, worker_clear},
    {Py_tp_dealloc, worker_dealloc},
    {Py_tp_members, members},
    {Py_tp_methods, stepped_methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "brummerbus._core._ext.Worker",
    .basicsize = sizeof(worker_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int add_worker(PyObject *module) { return add_type(module, &spec, &worker_type); }
