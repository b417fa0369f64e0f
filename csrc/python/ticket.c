/* ticket.c: what goes with an event that was published with options, or to a grouped subscription.
 *
 * Guarantees
 * - A ticket is in the queue in place of its event, with a reference for each delivery, and gives
 *   each back where an event would. It keeps what its parked deliveries point to: recipients, lanes.
 * - Each delivery ends once, as handled, failed or dropped (`end_delivery`), and the thread that
 *   ends the last one calls the completion hook, outside every lock and after the delivery was
 *   counted.
 *
 * - What a ticket has acquired for its event, pins of lanes and claims of subscriptions that take a
 *   single event, it gives back when it is freed, so that no exception can leave any behind. If the
 *   event was not accepted, `release` does it earlier: a traceback may keep the ticket alive.
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
    self->lane.group = ((recipient_object *)recipient)->group;
    self->lane.serial = true;
    return op;
}

static void lane_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static void add_pins(PyObject *lane, Py_ssize_t n) {
    BEGIN_CRITICAL(lane)
    ((lane_object *)lane)->pins += n;
    END_CRITICAL
}

static PyMemberDef lane_members[] = {
    {"pins", T_PYSSIZET, offsetof(lane_object, pins), READONLY, "Tickets that use it."},
    {0},
};

static PyType_Slot lane_slots[] = {
    {Py_tp_doc, "Lane(recipient)\n--\n\nThe deliveries of one key to one recipient."},
    {Py_tp_new, lane_new},
    {Py_tp_dealloc, lane_dealloc},
    {Py_tp_members, lane_members},
    {0, NULL},
};

static PyType_Spec lane_spec = {
    .name = "brummerbus._core._ext.Lane",
    .basicsize = sizeof(lane_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = lane_slots,
};

/* ---- Ticket -------------------------------------------------------------------------------- */

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
    if (lane != NULL) {
        add_pins(lane, 1);
        parked->lane = &((lane_object *)Py_NewRef(lane))->lane;
    } else {
        parked->lane = NULL;
    }
    if (before == NULL || !before->serial) return; /* it is one of the group's own */
    PyObject *old = (PyObject *)((char *)before - offsetof(lane_object, lane));
    add_pins(old, -1);
    Py_DECREF(old);
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
    Py_RETURN_NONE;
}

/* ---- claims of single events ------------------------------------------------------------------ */

#define TAKEN ((void *)1) /* the recipient has had its event */

/* Set the claims that the ticket has. */
static void set_claims(ticket_object *self, void *claim) {
    if (!self->claims) return;
    self->claims = 0;
    for (int32_t i = 0; i < self->ticket.count; i++) {
        recipient_object *recipient = recipient_at(self, i);
        BEGIN_CRITICAL(recipient)
        if (recipient->claim == self) recipient->claim = claim;
        END_CRITICAL
    }
}

static void release_claims(ticket_object *self) { set_claims(self, NULL); }

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
    if (!self->accepted) release_claims(self);
    for (int32_t i = 0; self->ticket.parked != NULL && i < self->ticket.count; i++)
        set_lane(self, i, NULL);
}

void set_refused(PyObject *object) {
    if (Py_TYPE(object) == ticket_type) release_all((ticket_object *)object);
}

/* release(): give back what was acquired for an event that was not accepted. */
static PyObject *ticket_release(PyObject *op, PyObject *unused) {
    (void)unused;
    if (!((ticket_object *)op)->accepted) release_all((ticket_object *)op);
    Py_RETURN_NONE;
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
    PyTypeObject *type = Py_TYPE(op);
    ticket_object *self = (ticket_object *)op;
    PyObject_GC_UnTrack(op);
    release_all(self);
    PyMem_Free(self->ticket.parked);
    ticket_clear(op);
    Py_CLEAR(self->recipients);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

/* ---- the end of deliveries ------------------------------------------------------------------- */

/* Append (recipient, why) to a list. If there is no memory, it is missing there. */
static void note(PyObject *list, PyObject *recipient, PyObject *why) {
    int status = -1;
    for (int tries = 0; status < 0 && tries < MEMORY_TRIES; tries++) {
        PyObject *pair = PyTuple_Pack(2, recipient, why);
        if (pair != NULL) status = PyList_Append(list, pair);
        if (status < 0) PyErr_Clear();
        Py_XDECREF(pair);
    }
}

/* What the hook is called with. An exception that strikes concurrently is put off: `struck`. */
static PyObject *new_outcome(ticket_object *self, PyObject **struck) {
    PyObject *outcome = NULL;
    for (int tries = 0; outcome == NULL && tries < MEMORY_TRIES; tries++) {
        outcome = PyObject_CallMethod(self->hooks, "outcome", "OnOO", self->event, self->handled,
                                      self->failed, self->dropped);
        if (outcome != NULL) break;
        Py_XDECREF(*struck);
        *struck = fetch_exception();
    }
    if (outcome != NULL && *struck != NULL && PyObject_IsInstance(*struck, PyExc_MemoryError) > 0)
        Py_CLEAR(*struck);
    return outcome;
}

static void log_raised(ticket_object *self, PyObject *error) {
    PyObject *result = PyObject_CallMethod(self->hooks, "log_raised", "Oi", error, here.hooks + 1);
    if (result == NULL) PyErr_Clear();
    Py_XDECREF(result);
}

/* From C, so that neither a lack of memory nor an exception of another thread comes between. What
 * the hook raises is logged, but for what is no Exception in a publisher. */
static int call_done(ticket_object *self, bool in_worker) {
    PyObject *struck = NULL, *outcome = new_outcome(self, &struck), *result = NULL;
    if (outcome != NULL) {
        here.hooks++;
        result = call_one(self->on_done, outcome);
        here.hooks--;
        if (result == NULL) {
            PyObject *error = fetch_exception();
            if (in_worker || PyObject_IsInstance(error, PyExc_Exception) > 0)
                log_raised(self, error);
            else if (struck == NULL) struck = Py_NewRef(error);
            Py_DECREF(error);
        }
        Py_XDECREF(result);
        Py_DECREF(outcome);
    }
    if (struck == NULL) return 0;
    PyErr_SetObject((PyObject *)Py_TYPE(struck), struck);
    Py_DECREF(struck);
    return -1;
}

int end_delivery(ticket_object *self, recipient_object *recipient, ending how, PyObject *why,
                 bool in_worker) {
    if (self->on_done == NULL || self->forks != bb_fork_count()) return 0;
    Py_ssize_t remaining;
    BEGIN_CRITICAL(self)
    if (how == HANDLED) self->handled++;
    else note(how == FAILED ? self->failed : self->dropped, (PyObject *)recipient, why);
    remaining = --self->remaining;
    END_CRITICAL
    return remaining == 0 ? call_done(self, in_worker) : 0;
}

/* end_lost(list, reason): the deliveries of a list of new_delivery_list were not made. Called again,
 * it does the rest. Allocates nothing itself. What is raised is raised after all have ended. */
static PyObject *end_lost(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    if (nargs != 2 || !PyList_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "end_lost(list, reason)");
        return NULL;
    }
    PyObject *lost = args[0], *type = NULL, *value = NULL, *traceback = NULL;
    for (Py_ssize_t at = LOST_FIELDS - 1; at < PyList_Size(lost); at += LOST_FIELDS) {
        PyObject *ticket = Py_NewRef(PyList_GetItem(lost, at));
        PyObject *recipient = Py_NewRef(PyList_GetItem(lost, at - LOST_FIELDS + 2));
        if (Py_TYPE(ticket) == ticket_type && PyObject_TypeCheck(recipient, recipient_type)) {
            PyList_SetItem(lost, at, Py_NewRef(Py_None));
            if (end_delivery((ticket_object *)ticket, (recipient_object *)recipient, DROPPED,
                             args[1], false) < 0) {
                Py_XDECREF(type);
                Py_XDECREF(value);
                Py_XDECREF(traceback);
                PyErr_Fetch(&type, &value, &traceback);
            }
        }
        Py_DECREF(ticket);
        Py_DECREF(recipient);
    }
    if (type == NULL) Py_RETURN_NONE;
    PyErr_Restore(type, value, traceback);
    return NULL;
}

static PyMethodDef functions[] = {
    {"end_lost", (PyCFunction)(void (*)(void))end_lost, METH_FASTCALL,
     "end_lost(list, reason, /)\n--\n\nCount the ends of lost deliveries for completion hooks."},
    {0},
};

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

int add_ticket(PyObject *module) {
    if (add_type(module, &lane_spec, &lane_type) < 0) return -1;
    if (add_type(module, &ticket_spec, &ticket_type) < 0) return -1;
    return PyModule_AddFunctions(module, functions);
}
