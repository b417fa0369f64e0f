/* turn.c: an event that waits for free slots without a thread, for `publish_after`.
 *
 * Guarantees
 * - It is a waiter as any other: the worker that frees slots accepts it when it is its turn.
 * - Withdrawing it and accepting it exclude each other, whichever threads ask for either.
 * - The waiter lives as long as the Turn. What the queue was given for the event is given back when
 *   the Turn is freed, unless it was accepted.
 */
#include "native.h"

static PyTypeObject *turn_type;

typedef struct {
    PyObject_HEAD
    route_object *route;
    PyObject *event;   /* or its ticket */
    bb_waiter *waiter; /* NULL: it has never waited, or was cleared */
} turn_object;

/* join(event or ticket) -> Turn, or a result */
PyObject *route_join(PyObject *op, PyObject *event) {
    route_object *route = (route_object *)op;
    turn_object *self = (turn_object *)PyType_GenericNew(turn_type, NULL, NULL);
    if (self == NULL) return NULL;
    self->route = (route_object *)Py_NewRef(op);
    self->event = Py_NewRef(event);
    hold(event, &route->route);
    set_waiting(event);
    bb_result result = bb_waiter_join(route->queue, &route->route, as_queued(event), here.hooks,
                                      BB_OUTSIDE, BB_UNATTENDED, &self->waiter);
    if (result == BB_WAITING) return (PyObject *)self;
    if (result == BB_ACCEPTED) {
        set_accepted(event);
    } else {
        release(event, &route->route);
        set_refused(event);
    }
    Py_DECREF((PyObject *)self);
    return result != BB_NO_MEMORY ? PyLong_FromLong(result) : PyErr_NoMemory();
}

/* state() -> WAITING, ACCEPTED, CLOSED or GONE */
static PyObject *turn_state(PyObject *op, PyObject *unused) {
    (void)unused;
    turn_object *self = (turn_object *)op;
    bb_result result = self->waiter != NULL ? bb_waiter_state(self->waiter) : BB_CLOSED;
    if (result == BB_ACCEPTED) set_accepted(self->event);
    return PyLong_FromLong(result);
}

/* withdraw() -> bool */
static PyObject *turn_withdraw(PyObject *op, PyObject *unused) {
    (void)unused;
    turn_object *self = (turn_object *)op;
    return PyBool_FromLong(self->waiter == NULL || bb_waiter_withdraw(self->waiter));
}

/* ---- the type ------------------------------------------------------------------------------ */

static int turn_traverse(PyObject *op, visitproc visit, void *arg) {
    turn_object *self = (turn_object *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->route);
    Py_VISIT(self->event);
    return 0;
}

static int turn_clear(PyObject *op) {
    turn_object *self = (turn_object *)op;
    bb_waiter *waiter = self->waiter;
    self->waiter = NULL;
    if (waiter != NULL && bb_waiter_leave(waiter)) {
        set_accepted(self->event);
    } else if (waiter != NULL) {
        release(self->event, &self->route->route);
        set_refused(self->event);
    }
    Py_CLEAR(self->event);
    Py_CLEAR(self->route);
    return 0;
}

static void turn_dealloc(PyObject *op) {
    PyObject_GC_UnTrack(op);
    turn_clear(op);
    free_object(op);
}

static PyMethodDef methods[] = {
    {"state", turn_state, METH_NOARGS,
     "state($self, /)\n--\n\nReturn WAITING, ACCEPTED, CLOSED (also if withdrawn) or GONE."},
    {"withdraw", turn_withdraw, METH_NOARGS,
     "withdraw($self, /)\n--\n\n"
     "Wait no longer; return whether the event was not accepted, and will not be."},
    {0},
};

static PyMemberDef members[] = {
    {"route", T_OBJECT_EX, offsetof(turn_object, route), READONLY, "Where the event goes."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "An event that waits for free slots without a thread; made by `Route.join`."},
    {Py_tp_traverse, turn_traverse},
    {Py_tp_clear, turn_clear},
    {Py_tp_dealloc, turn_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "brummerbus._core._ext.Turn",
    .basicsize = sizeof(turn_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int add_turn(PyObject *module) { return add_type(module, &spec, &turn_type); }
