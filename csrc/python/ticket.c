/* ticket.c: what goes with an event that was published with options, or to a grouped subscription.
 *
 * Guarantees
 * - A ticket is in the queue in place of its event, with a reference for each delivery, and gives
 *   each back where an event would. It keeps what its parked deliveries point to: recipients, lanes.
 * - Each delivery ends once, as handled, failed or dropped (`end_delivery`), and the thread that
 *   ends the last one calls the completion hook, outside every lock and after the delivery was
 *   counted.
 *
 * A lane is pinned by the tickets that use it: a lane without pins has no delivery anywhere, and
 * its key may be forgotten (`_core/lanes.py`).
 */
#include "native.h"

PyTypeObject *ticket_type, *lane_type;

/* ---- Lane ---------------------------------------------------------------------------------- */

/* Lane(recipient): of one key. */
static PyObject *lane_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    PyObject *recipient;
    if (!PyArg_ParseTuple(args, "O!:Lane", recipient_type, &recipient)) return NULL;
    if (((recipient_object *)recipient)->group == NULL) {
        PyErr_SetString(PyExc_ValueError, "the recipient has no group");
        return NULL;
    }
    PyObject *op = PyType_GenericNew(type, NULL, NULL);
    if (op == NULL) return NULL;
    lane_object *self = (lane_object *)op;
    self->recipient = Py_NewRef(recipient);
    self->lane.group = ((recipient_object *)recipient)->group;
    self->lane.serial = true;
    return op;
}

static int lane_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((lane_object *)op)->recipient);
    return 0;
}

static void lane_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_CLEAR(((lane_object *)op)->recipient);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static void add_pins(PyObject *lane, Py_ssize_t n) {
    BEGIN_CRITICAL(lane)
    ((lane_object *)lane)->pins += n;
    END_CRITICAL
}

static PyObject *lane_pin(PyObject *op, PyObject *unused) {
    (void)unused;
    add_pins(op, 1);
    Py_RETURN_NONE;
}

static PyObject *lane_unpin(PyObject *op, PyObject *unused) {
    (void)unused;
    add_pins(op, -1);
    Py_RETURN_NONE;
}

static PyMemberDef lane_members[] = {
    {"pins", T_PYSSIZET, offsetof(lane_object, pins), READONLY, "Tickets that use it."},
    {0},
};

static PyMethodDef lane_methods[] = {
    {"pin", lane_pin, METH_NOARGS, "pin($self, /)\n--\n\nKeep the lane for a ticket to come."},
    {"unpin", lane_unpin, METH_NOARGS, "unpin($self, /)\n--\n\nEnd what `pin` began."},
    {0},
};

static PyType_Slot lane_slots[] = {
    {Py_tp_doc, "Lane(recipient)\n--\n\nThe deliveries of one key to one recipient."},
    {Py_tp_new, lane_new},
    {Py_tp_traverse, lane_traverse},
    {Py_tp_dealloc, lane_dealloc},
    {Py_tp_members, lane_members},
    {Py_tp_methods, lane_methods},
    {0, NULL},
};

static PyType_Spec lane_spec = {
    .name = "brummerbus._core._ext.Lane",
    .basicsize = sizeof(lane_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = lane_slots,
};

/* ---- Ticket -------------------------------------------------------------------------------- */

static bb_lane *lane_at(ticket_object *self, const bb_route *route, Py_ssize_t i) {
    PyObject *lane = self->lanes != NULL ? PyTuple_GetItem(self->lanes, i) : Py_None;
    if (Py_TYPE(lane) == lane_type) return &((lane_object *)lane)->lane;
    bb_group *group = recipient_of(route->recipients[i])->group;
    return group != NULL ? &group->unkeyed[route->level - 1] : NULL;
}

static int set_parked(ticket_object *self, const bb_route *route) {
    bool any = false;
    for (int32_t i = 0; i < route->count; i++)
        any = any || recipient_of(route->recipients[i])->group != NULL;
    self->ticket.count = route->count;
    if (!any) return 0;
    self->ticket.parked = PyMem_Calloc((size_t)route->count, sizeof(bb_parked));
    if (self->ticket.parked == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (int32_t i = 0; i < route->count; i++)
        self->ticket.parked[i].lane = lane_at(self, route, i);
    return 0;
}

static PyObject *or_null(PyObject *object) { return object != Py_None ? Py_NewRef(object) : NULL; }

/* Ticket(route, event, expires, context, hooks, on_done, lanes): takes over a pin of each lane. */
static PyObject *ticket_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    PyObject *route_op, *event, *context, *hooks, *on_done, *lanes;
    unsigned long long expires;
    if (!PyArg_ParseTuple(args, "O!OKOOOO:Ticket", route_type, &route_op, &event, &expires,
                          &context, &hooks, &on_done, &lanes))
        return NULL;
    route_object *route = (route_object *)route_op;
    if (lanes != Py_None && (!PyTuple_Check(lanes) || PyTuple_Size(lanes) != route->route.count)) {
        PyErr_SetString(PyExc_ValueError, "lanes must be a tuple with an item per recipient");
        return NULL;
    }
    PyObject *op = PyType_GenericNew(type, NULL, NULL);
    if (op == NULL) return NULL;
    ticket_object *self = (ticket_object *)op;
    self->ticket.expires = expires;
    self->remaining = route->route.count;
    self->event = Py_NewRef(event);
    self->recipients = Py_NewRef(route->recipients);
    self->context = or_null(context);
    self->hooks = Py_NewRef(hooks);
    self->on_done = or_null(on_done);
    if (on_done != Py_None) {
        self->failed = PyList_New(0);
        self->dropped = PyList_New(0);
        if (self->failed == NULL || self->dropped == NULL) Py_CLEAR(op);
    }
    if (op != NULL) { /* from now on the pins are the ticket's */
        self->lanes = or_null(lanes);
        if (set_parked(self, &route->route) < 0) {
            Py_CLEAR(self->lanes);
            Py_CLEAR(op);
        }
    }
    return op;
}

static int ticket_traverse(PyObject *op, visitproc visit, void *arg) {
    ticket_object *self = (ticket_object *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->event);
    Py_VISIT(self->recipients);
    Py_VISIT(self->context);
    Py_VISIT(self->hooks);
    Py_VISIT(self->on_done);
    Py_VISIT(self->lanes);
    Py_VISIT(self->failed);
    Py_VISIT(self->dropped);
    return 0;
}

/* Not `parked` and what its deliveries point to: a ticket that is queued is not seen as garbage,
 * since the queue's references are not traversed (native.h). */
static int ticket_clear(PyObject *op) {
    ticket_object *self = (ticket_object *)op;
    Py_CLEAR(self->event);
    Py_CLEAR(self->context);
    Py_CLEAR(self->hooks);
    Py_CLEAR(self->on_done);
    Py_CLEAR(self->failed);
    Py_CLEAR(self->dropped);
    return 0;
}

static void ticket_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    ticket_object *self = (ticket_object *)op;
    PyObject_GC_UnTrack(op);
    for (Py_ssize_t i = 0; self->lanes != NULL && i < PyTuple_Size(self->lanes); i++) {
        PyObject *lane = PyTuple_GetItem(self->lanes, i);
        if (Py_TYPE(lane) == lane_type) add_pins(lane, -1);
    }
    PyMem_Free(self->ticket.parked);
    ticket_clear(op);
    Py_CLEAR(self->lanes);
    Py_CLEAR(self->recipients);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

/* ---- the end of deliveries ------------------------------------------------------------------- */

/* Append (recipient, why) to a list. Without memory it is missing there; the count is right. */
static void note(PyObject *list, PyObject *recipient, PyObject *why) {
    PyObject *pair = list != NULL ? PyTuple_Pack(2, recipient, why) : NULL;
    if (pair == NULL || PyList_Append(list, pair) < 0) PyErr_Clear();
    Py_XDECREF(pair);
}

static void call_done(ticket_object *self) {
    PyObject *result = PyObject_CallMethod(self->hooks, "done", "OOnOO", self->on_done, self->event,
                                           self->handled, self->failed, self->dropped);
    if (result == NULL) PyErr_WriteUnraisable(self->hooks); /* `done` itself lets nothing pass */
    Py_XDECREF(result);
}

void end_delivery(ticket_object *self, recipient_object *recipient, ending how, PyObject *why) {
    if (self->on_done == NULL) return;
    Py_ssize_t remaining;
    BEGIN_CRITICAL(self)
    if (how == HANDLED) self->handled++;
    else note(how == FAILED ? self->failed : self->dropped, (PyObject *)recipient, why);
    remaining = --self->remaining;
    END_CRITICAL
    if (remaining == 0) call_done(self);
}

/* drop(recipient, reason): a delivery was not made. */
static PyObject *ticket_drop(PyObject *op, PyObject *args) {
    PyObject *recipient, *reason;
    if (!PyArg_ParseTuple(args, "O!O:drop", recipient_type, &recipient, &reason)) return NULL;
    end_delivery((ticket_object *)op, (recipient_object *)recipient, DROPPED, reason);
    Py_RETURN_NONE;
}

/* due(address, index): the time of a retry has come. */
static PyObject *ticket_due(PyObject *op, PyObject *args) {
    PyObject *address;
    int index;
    if (!PyArg_ParseTuple(args, "O!i:due", &PyLong_Type, &address, &index)) return NULL;
    void *queue = PyLong_AsVoidPtr(address);
    if (queue == NULL && PyErr_Occurred()) return NULL;
    ticket_object *self = (ticket_object *)op;
    if (self->ticket.parked == NULL || index < 0 || index >= self->ticket.count) {
        PyErr_SetString(PyExc_IndexError, "no such delivery");
        return NULL;
    }
    bb_due(queue, &self->ticket.parked[index]);
    Py_RETURN_NONE;
}

static PyMethodDef ticket_methods[] = {
    {"drop", ticket_drop, METH_VARARGS,
     "drop($self, recipient, reason, /)\n--\n\nNote that a delivery was not made."},
    {"due", ticket_due, METH_VARARGS,
     "due($self, address, index, /)\n--\n\nEnd the delay of a delivery that is to be retried."},
    {0},
};

static PyType_Slot ticket_slots[] = {
    {Py_tp_doc, "Ticket(route, event, expires, context, hooks, on_done, lanes)\n--\n\n"
                "What goes with an event that was published with options."},
    {Py_tp_new, ticket_new},
    {Py_tp_traverse, ticket_traverse},
    {Py_tp_clear, ticket_clear},
    {Py_tp_dealloc, ticket_dealloc},
    {Py_tp_methods, ticket_methods},
    {0, NULL},
};

static PyType_Spec ticket_spec = {
    .name = "brummerbus._core._ext.Ticket",
    .basicsize = sizeof(ticket_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = ticket_slots,
};

int add_ticket(PyObject *module) {
    if (add_type(module, &lane_spec, &lane_type) < 0) return -1;
    return add_type(module, &ticket_spec, &ticket_type);
}
