/* route.c: the types of recipients and routes. */
#include "native.h"

PyTypeObject *recipient_type, *route_type;

/* ---- Recipient --------------------------------------------------------------------------- */

static int recipient_init(PyObject *op, PyObject *args, PyObject *kwargs) {
    recipient_object *self = (recipient_object *)op;
    static char *names[] = {"handler", "is_python", NULL};
    PyObject *handler;
    int is_python;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Op:Recipient", names, &handler, &is_python))
        return -1;
    if (self->handler != NULL) {
        PyErr_SetString(PyExc_AttributeError, "a recipient is initialised once");
        return -1;
    }
    self->handler = Py_NewRef(handler);
    self->is_python = (char)is_python;
    return 0;
}

static void reset_group(bb_group *group) {
    *group = (bb_group){.limit = group->limit, .batch = group->batch};
    for (int level = 0; level < BB_LEVELS; level++) group->unkeyed[level].group = group;
}

/* set_group(limit, batch, batch_wait): once, before anything is delivered to it. */
static PyObject *recipient_set_group(PyObject *op, PyObject *args) {
    recipient_object *self = (recipient_object *)op;
    int limit, batch;
    long long batch_wait;
    if (!PyArg_ParseTuple(args, "iiL:set_group", &limit, &batch, &batch_wait)) return NULL;
    if (self->group != NULL || limit < 0 || batch < 0 || batch_wait < 0) {
        PyErr_SetString(PyExc_ValueError, "set_group: once, and nothing negative");
        return NULL;
    }
    bb_group *group = PyMem_Calloc(1, sizeof *group);
    if (group == NULL) return PyErr_NoMemory();
    group->limit = limit;
    group->batch = batch;
    reset_group(group);
    self->batch_wait = batch_wait;
    self->group = group;
    return Py_NewRef(Py_None);
}

/* detach(): its calls outlast their workers. Once, after set_group. */
static PyObject *recipient_detach(PyObject *op, PyObject *unused) {
    (void)unused;
    recipient_object *self = (recipient_object *)op;
    if (self->group == NULL || self->group->batch != 0) {
        PyErr_SetString(PyExc_ValueError, "detach: for groups without batches");
        return NULL;
    }
    self->detaches = 1;
    return Py_NewRef(Py_None);
}

static int recipient_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((recipient_object *)op)->handler);
    return 0;
}

static int recipient_clear(PyObject *op) {
    Py_CLEAR(((recipient_object *)op)->handler);
    return 0;
}

static void recipient_dealloc(PyObject *op) {
    PyObject_GC_UnTrack(op);
    if (((recipient_object *)op)->weak != NULL) PyObject_ClearWeakRefs(op);
    recipient_clear(op);
    PyMem_Free(((recipient_object *)op)->group);
    free_object(op);
}

static PyObject *recipient_account(PyObject *op, void *closure) {
    (void)closure;
    return PyLong_FromVoidPtr(&((recipient_object *)op)->account);
}

/* count_from(forks): reset the counts, once after each fork. */
static PyObject *recipient_count_from(PyObject *op, PyObject *forks) {
    recipient_object *self = (recipient_object *)op;
    long long number = PyLong_AsLongLong(forks);
    if (number == -1 && PyErr_Occurred()) return NULL;
    BEGIN_CRITICAL(op)
    if (self->forks != number) {
        self->account = (bb_recipient){0};
        if (self->group != NULL) reset_group(self->group);
        if (!is_taken(self)) self->claim = NULL; /* by a publish of the parent */
    }
    self->forks = number;
    END_CRITICAL
    return Py_NewRef(Py_None);
}

static PyMemberDef recipient_members[] = {
    {"handler", T_OBJECT_EX, offsetof(recipient_object, handler), READONLY,
     "The callable that gets each event."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(recipient_object, weak), READONLY, NULL},
    {0},
};

static PyObject *recipient_is_taken(PyObject *op, void *closure) {
    (void)closure;
    return PyBool_FromLong(is_taken((recipient_object *)op));
}

static PyGetSetDef recipient_getset[] = {
    {"is_taken", recipient_is_taken, NULL, "Whether a claim of it led to an accepted event.", NULL},
    {"account", recipient_account, NULL, "Address of its bb_recipient.", NULL},
    {0},
};

static PyMethodDef recipient_methods[] = {
    {"set_group", recipient_set_group, METH_VARARGS,
     "set_group($self, limit, batch, batch_wait_ns, /)\n--\n\n"
     "Have its deliveries wait in lanes: limited, in batches, by key, or to be retried."},
    {"detach", recipient_detach, METH_NOARGS,
     "detach($self, /)\n--\n\nHave its handler called with a `Call`, to be ended later."},
    {"count_from", recipient_count_from, METH_O,
     "count_from($self, forks, /)\n--\n\nReset the counts if they are from before that fork."},
    {0},
};

static PyType_Slot recipient_slots[] = {
    {Py_tp_doc, "Recipient(handler, is_python)\n--\n\nA handler and its counts."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, recipient_init},
    {Py_tp_traverse, recipient_traverse},
    {Py_tp_clear, recipient_clear},
    {Py_tp_dealloc, recipient_dealloc},
    {Py_tp_members, recipient_members},
    {Py_tp_getset, recipient_getset},
    {Py_tp_methods, recipient_methods},
    {0, NULL},
};

static PyType_Spec recipient_spec = {
    .name = "brummerbus._core._ext.Recipient",
    .basicsize = sizeof(recipient_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = recipient_slots,
};

int add_recipient(PyObject *module) { return add_type(module, &recipient_spec, &recipient_type); }

/* ---- Route ------------------------------------------------------------------------------- */

static int set_recipients(route_object *self, PyObject *recipients) {
    Py_ssize_t n = PyTuple_Size(recipients);
    bb_recipient **items = PyMem_Malloc((size_t)(n > 0 ? n : 1) * sizeof *items);
    if (items == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *one = PyTuple_GetItem(recipients, i);
        if (!PyObject_TypeCheck(one, recipient_type)) {
            PyMem_Free(items);
            PyErr_Format(PyExc_TypeError, "recipients must be Recipients, got %.100R", one);
            return -1;
        }
        items[i] = &((recipient_object *)one)->account;
    }
    self->route.count = (int32_t)n;
    self->route.recipients = items;
    self->recipients = Py_NewRef(recipients);
    return 0;
}

/* Route(owner, address, level, type, recipients, key, plan, tapped, buffers) */
static PyObject *route_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    PyObject *owner, *address, *recipients, *key, *plan, *buffers;
    int level, number, tapped;
    if (!PyArg_ParseTuple(args, "OO!iiO!OOpO!:Route", &owner, &PyLong_Type, &address, &level,
                          &number, &PyTuple_Type, &recipients, &key, &plan, &tapped, &PyTuple_Type,
                          &buffers))
        return NULL;
    void *queue = PyLong_AsVoidPtr(address);
    if (queue == NULL) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "address must not be 0");
        return NULL;
    }
    if (level < 1 || level > BB_LEVELS || number < 0 || number >= BB_MAX_TYPES) {
        PyErr_Format(PyExc_ValueError, "no such level or type: %d, %d", level, number);
        return NULL;
    }
    PyObject *op = PyType_GenericNew(type, NULL, NULL);
    if (op == NULL) return NULL;
    route_object *self = (route_object *)op;
    self->queue = queue;
    self->owner = Py_NewRef(owner);
    self->key = Py_NewRef(key);
    self->plan = plan != Py_None ? Py_NewRef(plan) : NULL;
    self->buffers = PyTuple_Size(buffers) > 0 ? Py_NewRef(buffers) : NULL;
    self->route.level = level;
    self->route.type = number;
    self->route.tapped = tapped;
    if (set_recipients(self, recipients) < 0) Py_CLEAR(op);
    return op;
}

static int route_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((route_object *)op)->owner);
    Py_VISIT(((route_object *)op)->recipients);
    Py_VISIT(((route_object *)op)->key);
    Py_VISIT(((route_object *)op)->plan);
    Py_VISIT(((route_object *)op)->buffers);
    return 0;
}

static void route_dealloc(PyObject *op) {
    route_object *self = (route_object *)op;
    PyObject_GC_UnTrack(op);
    PyMem_Free(self->route.recipients);
    Py_CLEAR(self->recipients);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->key);
    Py_CLEAR(self->plan);
    Py_CLEAR(self->buffers);
    free_object(op);
}

/* push(event or ticket) -> result */
static PyObject *route_push(PyObject *op, PyObject *event) {
    route_object *self = (route_object *)op;
    hold(event, &self->route);
    bb_result result =
        bb_push(self->queue, &self->route, as_queued(event), here.hooks, origin_in(self->queue));
    if (result == BB_ACCEPTED) set_accepted(event);
    else release(event, &self->route);
    return PyLong_FromLong(result);
}

/* refuse(event, reason, table, key) -> bool. In one step, so that no exception can strike between
 * the removal and the count. */
static PyObject *route_refuse(PyObject *op, PyObject *args) {
    route_object *self = (route_object *)op;
    PyObject *event, *table, *key;
    int reason;
    if (!PyArg_ParseTuple(args, "OiO!O!:refuse", &event, &reason, &PyDict_Type, &table,
                          &PyLong_Type, &key))
        return NULL;
    if (reason != BB_WHY_REFUSED && reason != BB_WHY_SHUTDOWN) {
        PyErr_SetString(PyExc_ValueError, "refuse: no such reason");
        return NULL;
    }
    if (PyDict_DelItem(table, key) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_KeyError)) return NULL;
        PyErr_Clear();
        return Py_NewRef(Py_False);
    }
    bb_refuse(self->queue, &self->route, as_queued(event), (bb_reason)reason);
    return Py_NewRef(Py_True);
}

static PyMemberDef route_members[] = {
    {"recipients", T_OBJECT_EX, offsetof(route_object, recipients), READONLY,
     "The subscriptions, in the order in which they were made."},
    {"plan", T_OBJECT, offsetof(route_object, plan), READONLY,
     "What is to be done for each event; None: nothing."},
    {"level", T_INT, offsetof(route_object, route.level), READONLY, "From 1."},
    {"type", T_INT, offsetof(route_object, route.type), READONLY, "Number of the event type."},
    {0},
};

PyObject *route_admit(PyObject *op, PyObject *args);
PyObject *route_join(PyObject *op, PyObject *event);

static PyMethodDef methods[] = {
    {"push", route_push, METH_O,
     "push($self, event, /)\n--\n\nAccept an event if the queue has free slots."},
    {"refuse", route_refuse, METH_VARARGS,
     "refuse($self, event, reason, table, key, /)\n--\n\n"
     "Remove an item of a dict and, if it was there, count the event as published and dropped."},
    {"admit", route_admit, METH_VARARGS,
     "admit($self, event, timeout_ns, limited, mode, slice_ns, report, on_standstill, purge, "
     "pause, withdraw, /)\n--\n\n"
     "Wait for free slots, then apply the policy; see admit.c."},
    {"join", route_join, METH_O,
     "join($self, event, /)\n--\n\n"
     "Have an event wait for free slots without a thread: a Turn, or the result; see turn.c."},
    {0},
};

static PyType_Slot route_slots[] = {
    {Py_tp_doc, "Route(owner, address, level, type, recipients, key, plan, tapped, buffers)\n--\n\n"
                "The recipients of events."},
    {Py_tp_new, route_new},
    {Py_tp_traverse, route_traverse},
    {Py_tp_dealloc, route_dealloc},
    {Py_tp_members, route_members},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec route_spec = {
    .name = "brummerbus._core._ext.Route",
    .basicsize = sizeof(route_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = route_slots,
};

int add_route(PyObject *module) { return add_type(module, &route_spec, &route_type); }
