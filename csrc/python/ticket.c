/* ticket.c: what goes with an event that was published with options, or to a grouped subscription.
 *
 * Guarantees
 * - A ticket is in the queue in place of its event, with a reference for each delivery, and gives
 *   each back where an event would. It keeps what its parked deliveries point to: recipients,
 *   lanes.
 * - What a ticket has acquired for its event, pins of lanes and claims of subscriptions that take a
 *   single event, it gives back when it is freed, so that no exception can leave any behind. If the
 *   event was not accepted, `release` does it earlier: a traceback may keep the ticket alive.
 *
 * How its deliveries end is in completion.c. */
#include "native.h"

PyTypeObject *ticket_type;

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
    for (int32_t i = 0; i < route->count; i++) {
        bb_group *group = recipient_of(route->recipients[i])->group;
        if (group != NULL) self->ticket.parked[i].lane = &group->unkeyed[route->level - 1];
    }
    return 0;
}

static PyObject *or_null(PyObject *object) { return object != Py_None ? Py_NewRef(object) : NULL; }

/* Ticket(route, event, expires, context, hooks, on_done) */
static PyObject *ticket_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    PyObject *route_op, *event, *context, *hooks, *on_done;
    unsigned long long expires;
    if (!PyArg_ParseTuple(args, "O!OKOOO:Ticket", route_type, &route_op, &event, &expires, &context,
                          &hooks, &on_done))
        return NULL;
    route_object *route = (route_object *)route_op;
    PyObject *op = PyType_GenericNew(type, NULL, NULL);
    if (op == NULL) return NULL;
    ticket_object *self = (ticket_object *)op;
    self->forks = bb_fork_count();
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
    if (op != NULL && set_parked(self, &route->route) < 0) Py_CLEAR(op);
    return op;
}

/* ---- lanes of keys ------------------------------------------------------------------------- */

/* Put the delivery `i` into a lane of its own recipient, NULL for none, and pin it. */
static void set_lane(ticket_object *self, int32_t i, PyObject *lane) {
    bb_parked *parked = &self->ticket.parked[i];
    bb_lane *before = parked->lane;
    parked->lane = lane != NULL ? pin(lane) : NULL;
    if (before != NULL && before->serial) unpin(before); /* else it is one of the group's own */
}

static recipient_object *recipient_at(ticket_object *self, int32_t i) {
    return (recipient_object *)PyTuple_GetItem(self->recipients, i);
}

/* set_lane(index, lane): put a delivery into the lane of its key. */
static PyObject *ticket_set_lane(PyObject *op, PyObject *args) {
    ticket_object *self = (ticket_object *)op;
    int i;
    PyObject *lane;
    if (!PyArg_ParseTuple(args, "iO!:set_lane", &i, lane_type, &lane)) return NULL;
    if (self->accepted || self->ticket.parked == NULL || i < 0 || i >= self->ticket.count ||
        ((lane_object *)lane)->lane.group != recipient_at(self, i)->group) {
        PyErr_SetString(PyExc_ValueError, "no such delivery, or not its lane");
        return NULL;
    }
    set_lane(self, i, lane);
    return Py_NewRef(Py_None);
}

/* ---- claims of single events ----------------------------------------------------------------- */

#define TAKEN ((void *)1) /* the recipient has had its event */

/* Set the claims that the ticket has. Several threads may, after its turn has come. */
static void set_claims(ticket_object *self, void *claim) {
    if (!self->claims) return;
    for (int32_t i = 0; i < self->ticket.count; i++) {
        recipient_object *recipient = recipient_at(self, i);
        BEGIN_CRITICAL(recipient)
        if (recipient->claim == self) recipient->claim = claim;
        END_CRITICAL
    }
    self->claims = 0;
}

void set_accepted(PyObject *object) {
    if (Py_TYPE(object) != ticket_type) return;
    ((ticket_object *)object)->accepted = 1;
    set_claims((ticket_object *)object, TAKEN);
}

/* claim(index) -> bool: claim the recipient's single event for this one. */
static PyObject *ticket_claim(PyObject *op, PyObject *index) {
    ticket_object *self = (ticket_object *)op;
    long i = PyLong_AsLong(index);
    if (i == -1 && PyErr_Occurred()) return NULL;
    if (i < 0 || i >= self->ticket.count) {
        PyErr_SetString(PyExc_IndexError, "no such delivery");
        return NULL;
    }
    recipient_object *recipient = recipient_at(self, (int32_t)i);
    bool claimed;
    BEGIN_CRITICAL(recipient)
    if (recipient->claim == NULL) recipient->claim = self;
    claimed = recipient->claim == self;
    END_CRITICAL
    if (claimed) self->claims = 1;
    return PyBool_FromLong(claimed);
}

bool is_taken(const recipient_object *recipient) { return recipient->claim == TAKEN; }

static void release_all(ticket_object *self) {
    if (!self->accepted) set_claims(self, NULL);
    for (int32_t i = 0; self->ticket.parked != NULL && i < self->ticket.count; i++)
        set_lane(self, i, NULL);
}

void set_refused(PyObject *object) {
    if (Py_TYPE(object) != ticket_type) return;
    ((ticket_object *)object)->accepted = 0;
    release_all((ticket_object *)object);
}

void set_waiting(PyObject *object) {
    if (Py_TYPE(object) == ticket_type) ((ticket_object *)object)->accepted = 1;
}

/* release(): give back what was acquired for an event that was not accepted. */
static PyObject *ticket_release(PyObject *op, PyObject *unused) {
    (void)unused;
    if (!((ticket_object *)op)->accepted) release_all((ticket_object *)op);
    return Py_NewRef(Py_None);
}

/* ---- the type ------------------------------------------------------------------------------ */

static int ticket_traverse(PyObject *op, visitproc visit, void *arg) {
    ticket_object *self = (ticket_object *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->event);
    Py_VISIT(self->recipients);
    Py_VISIT(self->context);
    Py_VISIT(self->hooks);
    Py_VISIT(self->on_done);
    Py_VISIT(self->failed);
    Py_VISIT(self->dropped);
    return 0;
}

/* Not `parked` and what its deliveries point to: a ticket that is queued is not seen as garbage,
 * since the queue's references are not traversed (native.h). Lanes refer to nothing. */
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
    ticket_object *self = (ticket_object *)op;
    PyObject_GC_UnTrack(op);
    release_all(self);
    PyMem_Free(self->ticket.parked);
    ticket_clear(op);
    Py_CLEAR(self->recipients);
    free_object(op);
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
    return Py_NewRef(Py_None);
}

static PyMethodDef ticket_methods[] = {
    {"set_lane", ticket_set_lane, METH_VARARGS,
     "set_lane($self, index, lane, /)\n--\n\nPut a delivery into the lane of its key."},
    {"claim", ticket_claim, METH_O,
     "claim($self, index, /)\n--\n\n"
     "Claim the single event of a recipient; return whether it was still to be had."},
    {"release", ticket_release, METH_NOARGS,
     "release($self, /)\n--\n\n"
     "Give back lanes and claims; without effect once the event is accepted."},
    {"due", ticket_due, METH_VARARGS,
     "due($self, address, index, /)\n--\n\nEnd the delay of a delivery that is to be retried."},
    {0},
};

static PyType_Slot ticket_slots[] = {
    {Py_tp_doc, "Ticket(route, event, expires, context, hooks, on_done)\n--\n\n"
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

int add_ticket(PyObject *module) { return add_type(module, &ticket_spec, &ticket_type); }
