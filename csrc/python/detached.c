/* detached.c: calls that outlast their worker: coroutines, which an event loop runs.
 *
 * The handler of such a recipient is called in the worker with a Call, which it hands to whatever
 * will end it with `finish`, in any thread. The worker goes on.
 *
 * Guarantees
 * - A Call ends once. One that is forgotten, since its event loop was closed and dropped what it
 *   had still to run, is dropped as by a shutdown, and reported to `handler.lost(list)`.
 * - Failures, retries and completion hooks are those of an ordinary call (call.c).
 */
#include "native.h"

static PyTypeObject *call_type;

typedef struct {
    PyObject_HEAD
    PyObject *owner; /* keeps `queue` alive */
    worker_hooks hooks;
    bb_queue *queue;
    bb_worker *carrier; /* NULL: it has ended */
    bb_delivery delivery;
} call_object;

static PyObject *new_call(PyObject *owner, const worker_hooks *hooks, bb_queue *queue,
                          const bb_delivery *delivery) {
    PyObject *op = PyType_GenericNew(call_type, NULL, NULL);
    if (op == NULL) return NULL;
    call_object *self = (call_object *)op;
    self->owner = Py_NewRef(owner);
    self->hooks.report = Py_NewRef(hooks->report);
    self->hooks.retry = Py_NewRef(hooks->retry);
    self->hooks.drop = Py_NewRef(hooks->drop);
    self->queue = queue;
    self->delivery = *delivery;
    return op;
}

/* Claim the end of the call; NULL: another has. */
static bb_worker *claim(call_object *self) {
    bb_worker *carrier;
    BEGIN_CRITICAL(self)
    carrier = self->carrier;
    self->carrier = NULL;
    END_CRITICAL
    return carrier;
}

/* `error`: NULL, or a reference that is taken over. */
static void finish(call_object *self, PyObject *error) {
    bb_worker *carrier = claim(self);
    if (carrier == NULL) {
        Py_XDECREF(error);
        return;
    }
    PyObject *recipient = (PyObject *)recipient_of(self->delivery.recipient);
    end_call_of(&self->hooks, self->queue, carrier, &self->delivery, error);
    bb_detached_free(carrier);
    Py_DECREF(recipient);
}

/* Nobody will end it. Its references go to the list. */
static void drop(call_object *self) {
    bb_worker *carrier = claim(self);
    if (carrier == NULL) return;
    PyObject *type, *value, *traceback, *lost = NULL, *result = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *handler = Py_NewRef(recipient_of(self->delivery.recipient)->handler);
    for (int tries = 0; lost == NULL && tries < MEMORY_TRIES; tries++) {
        PyErr_Clear();
        lost = new_delivery_list(1);
    }
    int32_t dropped = bb_detached_drop(carrier);
    if (lost != NULL && dropped) {
        put_lost(lost, 0, &self->delivery);
        result = PyObject_CallMethod(handler, "lost", "O", lost);
    } else if (dropped) {
        Py_DECREF(object_of(self->delivery.event));
        Py_DECREF((PyObject *)recipient_of(self->delivery.recipient));
    }
    if (result == NULL) PyErr_Clear();
    bb_completed(carrier);
    bb_detached_free(carrier);
    Py_XDECREF(result);
    Py_XDECREF(lost);
    Py_DECREF(handler);
    PyErr_Restore(type, value, traceback);
}

void detach_call(PyObject *owner, const worker_hooks *hooks, bb_queue *queue, bb_worker *worker,
                 const bb_delivery *delivery) {
    recipient_object *recipient = recipient_of(delivery->recipient);
    PyObject *op = new_call(owner, hooks, queue, delivery);
    bb_worker *carrier = op != NULL ? bb_detach(worker) : NULL;
    Py_INCREF((PyObject *)recipient); /* for the caller */
    if (carrier == NULL) {
        if (op != NULL) PyErr_NoMemory();
        end_call_of(hooks, queue, worker, delivery, fetch_exception());
        Py_XDECREF(op);
        Py_DECREF((PyObject *)recipient);
        return;
    }
    call_object *self = (call_object *)op;
    self->carrier = carrier;
    PyObject *result = call_one(recipient->handler, op);
    if (result == NULL) finish(self, fetch_exception());
    Py_XDECREF(result);
    Py_DECREF(op);
}

/* ---- the type ------------------------------------------------------------------------------ */

/* finish(error): the call has ended; None: without an exception. Does nothing a second time. */
static PyObject *call_finish(PyObject *op, PyObject *error) {
    finish((call_object *)op, error != Py_None ? Py_NewRef(error) : NULL);
    return Py_NewRef(Py_None);
}

/* drop(): nothing will end the call. Without effect if it has ended. */
static PyObject *call_drop(PyObject *op, PyObject *unused) {
    (void)unused;
    drop((call_object *)op);
    return Py_NewRef(Py_None);
}

static PyObject *call_event(PyObject *op, void *closure) {
    (void)closure;
    call_object *self = (call_object *)op;
    PyObject *event = NULL;
    BEGIN_CRITICAL(op) /* another thread may end the call, and then drop the event */
    if (self->carrier != NULL) event = Py_NewRef(event_of(self->delivery.event));
    END_CRITICAL
    if (event == NULL) PyErr_SetString(PyExc_ValueError, "the call has ended");
    return event;
}

static PyObject *call_context(PyObject *op, void *closure) {
    (void)closure;
    call_object *self = (call_object *)op;
    PyObject *context = NULL;
    BEGIN_CRITICAL(op)
    if (self->carrier != NULL) context = Py_XNewRef(ticket_of(self->delivery.event)->context);
    END_CRITICAL
    if (context == NULL) return Py_NewRef(Py_None);
    PyObject *copy = PyObject_CallMethod(context, "copy", NULL);
    Py_DECREF(context);
    return copy;
}

static PyObject *call_address(PyObject *op, void *closure) {
    (void)closure;
    return PyLong_FromVoidPtr(((call_object *)op)->queue);
}

static void call_dealloc(PyObject *op) {
    call_object *self = (call_object *)op;
    drop(self);
    Py_CLEAR(self->hooks.report);
    Py_CLEAR(self->hooks.retry);
    Py_CLEAR(self->hooks.drop);
    Py_CLEAR(self->owner);
    free_object(op);
}

static PyGetSetDef getset[] = {
    {"event", call_event, NULL, "The event; ValueError: the call has ended.", NULL},
    {"address", call_address, NULL, "The address of its queue.", NULL},
    {"context", call_context, NULL, "A copy of its publisher's context, or None.", NULL},
    {0},
};

static PyMethodDef methods[] = {
    {"finish", call_finish, METH_O,
     "finish($self, error, /)\n--\n\nEnd the call; None: without an exception."},
    {"drop", call_drop, METH_NOARGS, "drop($self, /)\n--\n\nDrop the delivery, as by a shutdown."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A call of a handler that outlasts its worker."},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_getset, getset},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "brummerbus._core._ext.Call",
    .basicsize = sizeof(call_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

int add_detached(PyObject *module) { return add_type(module, &spec, &call_type); }
