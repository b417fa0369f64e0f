/* ring.c: a queue of objects without workers; `brummerbus.ringqueue` is its Python side.
 *
 * Guarantees
 * - No Python code runs while the queue's mutex is held, so every method may be called from a
 *   signal handler or a finalizer, also one that interrupts another method.
 * - When `get` raises, it has taken nothing. When `put` raises, the item is queued or unknown to
 *   the queue. Signal handlers run between two slices of a wait, in the main thread.
 * - The garbage collector sees what is queued. It may: items leave the queue only with the GIL held
 *   (bb_get), and one that enters has a reference from the thread that puts it.
 */
#include "native.h"

#define FOREVER UINT64_MAX
#define CHUNK 64 /* items per call to the queue */
#define BAD_LEVEL (BB_NO_MEMORY - 1)

static PyTypeObject *ring_type;

typedef struct {
    PyObject_HEAD
    PyObject *owner; /* keeps `queue` alive */
    bb_queue *queue;
    int levels;
    bb_recipient account;
    bb_recipient *recipients[1];
    bb_route route[BB_LEVELS];
} ring_object;

/* Ring(owner, address, levels) */
static PyObject *ring_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    PyObject *owner, *address;
    int levels;
    if (!PyArg_ParseTuple(args, "OO!i:Ring", &owner, &PyLong_Type, &address, &levels)) return NULL;
    void *queue = PyLong_AsVoidPtr(address);
    if (queue == NULL || levels < 1 || levels > BB_LEVELS) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "Ring: no such address or levels");
        return NULL;
    }
    PyObject *op = PyType_GenericNew(type, NULL, NULL);
    if (op == NULL) return NULL;
    ring_object *self = (ring_object *)op;
    self->owner = Py_NewRef(owner);
    self->queue = queue;
    self->levels = levels;
    self->recipients[0] = &self->account;
    for (int i = 0; i < levels; i++)
        self->route[i] = (bb_route){.level = i + 1, .count = 1, .recipients = self->recipients};
    return op;
}

typedef struct {
    visitproc visit;
    void *argument;
} visitor;

static int32_t visit_item(void *item, void *argument) {
    const visitor *v = argument;
    return v->visit(item, v->argument);
}

static int ring_traverse(PyObject *op, visitproc visit, void *arg) {
    ring_object *self = (ring_object *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->owner);
    visitor v = {visit, arg};
    return self->queue != NULL ? bb_visit(self->queue, visit_item, &v) : 0;
}

/* Shut the queue and drop its items; returns how many. */
static Py_ssize_t discard_items(ring_object *self) {
    void *items[CHUNK];
    Py_ssize_t n = 0;
    int32_t found;
    bb_close(self->queue, 0, 0);
    while ((found = bb_take_back(self->queue, items, CHUNK)) > 0) {
        for (int32_t i = 0; i < found; i++) Py_DECREF((PyObject *)items[i]);
        n += found;
    }
    return n;
}

static int ring_clear(PyObject *op) {
    ring_object *self = (ring_object *)op;
    if (self->queue != NULL) discard_items(self);
    return 0;
}

static void ring_dealloc(PyObject *op) {
    PyObject_GC_UnTrack(op);
    ring_clear(op);
    Py_CLEAR(((ring_object *)op)->owner);
    free_object(op);
}

/* ---- putting ------------------------------------------------------------------------------- */

static const bb_route *route_for(const ring_object *self, PyObject *level) {
    if (!PyLong_Check(level) || PyBool_Check(level)) return NULL;
    int overflow;
    long number = PyLong_AsLongAndOverflow(level, &overflow);
    return number >= 1 && number <= self->levels ? &self->route[number - 1] : NULL;
}

/* 0 or more, CLOSED, GONE or BAD_LEVEL; NULL without memory. */
static PyObject *result_of(int32_t result) {
    return result != BB_NO_MEMORY ? PyLong_FromLong(result) : PyErr_NoMemory();
}

/* push(item, level) -> 1, or 0, or a negative result */
static PyObject *ring_push(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    ring_object *self = (ring_object *)op;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "push takes an item and a level");
        return NULL;
    }
    const bb_route *route = route_for(self, args[1]);
    if (route == NULL) return PyLong_FromLong(BAD_LEVEL);
    void *item = Py_NewRef(args[0]); /* before the queue has it: another thread may take it */
    int32_t result = bb_put(self->queue, route, &item, 1);
    if (result != 1) Py_DECREF(args[0]);
    return result_of(result);
}

/* push_many(list, from, level) -> how many, or a negative result */
static PyObject *ring_push_many(PyObject *op, PyObject *args) {
    ring_object *self = (ring_object *)op;
    PyObject *list, *level;
    Py_ssize_t from;
    if (!PyArg_ParseTuple(args, "O!nO:push_many", &PyTuple_Type, &list, &from, &level)) return NULL;
    const bb_route *route = route_for(self, level);
    if (route == NULL || from < 0) return PyLong_FromLong(BAD_LEVEL);
    Py_ssize_t pushed = 0, size = PyTuple_Size(list);
    for (int32_t accepted = CHUNK; accepted == CHUNK && from + pushed < size; pushed += accepted) {
        void *items[CHUNK];
        int32_t n = 0;
        while (n < CHUNK && from + pushed + n < size) {
            items[n] = Py_NewRef(PyTuple_GetItem(list, from + pushed + n));
            n++;
        }
        accepted = bb_put(self->queue, route, items, n);
        int32_t kept = accepted > 0 ? accepted : 0;
        for (int32_t i = kept; i < n; i++)
            Py_DECREF(PyTuple_GetItem(list, from + pushed + i)); /* the tuple has one, too */
        if (accepted < 0) return pushed > 0 ? PyLong_FromSsize_t(pushed) : result_of(accepted);
    }
    return PyLong_FromSsize_t(pushed);
}

/* Wait for a free slot until `until`; the result is that of the waiter. -1: a signal handler
 * raised. */
static int wait_for_slot(ring_object *self, const bb_route *route, PyObject *item, uint64_t until,
                         uint64_t slice, bb_result *result) {
    bb_waiter *waiter;
    int status = 0;
    *result = bb_waiter_join(self->queue, route, item, 0, BB_OUTSIDE, 1, &waiter);
    for (uint64_t now = bb_clock(); *result == BB_WAITING && now < until && status == 0;) {
        *result = bb_waiter_wait(waiter, until - now > slice ? now + slice : until);
        if (*result == BB_WAITING) status = PyErr_CheckSignals();
        now = bb_clock();
    }
    if (waiter != NULL && bb_waiter_leave(waiter)) *result = BB_ACCEPTED;
    return status;
}

/* The end of a wait of `timeout` ns; negative: none. */
static uint64_t deadline_of(long long timeout) {
    return timeout < 0 ? FOREVER : bb_clock() + (uint64_t)timeout;
}

/* put(item, level, timeout, slice) -> 1, or 0 if the time is over, or a negative result */
static PyObject *ring_put(PyObject *op, PyObject *args) {
    ring_object *self = (ring_object *)op;
    PyObject *item, *level;
    long long timeout, slice;
    if (!PyArg_ParseTuple(args, "OOLL:put", &item, &level, &timeout, &slice)) return NULL;
    const bb_route *route = route_for(self, level);
    if (route == NULL) return PyLong_FromLong(BAD_LEVEL);
    bb_result result;
    Py_INCREF(op); /* the waiter refers to it, and signal handlers may drop it */
    Py_INCREF(item);
    int status = wait_for_slot(self, route, item, deadline_of(timeout), (uint64_t)slice, &result);
    if (result != BB_ACCEPTED) Py_DECREF(item);
    Py_DECREF(op);
    if (status < 0) return NULL;
    if (result == BB_CLOSED || result == BB_GONE || result == BB_NO_MEMORY)
        return result_of(result);
    return PyLong_FromLong(result == BB_ACCEPTED);
}

/* ---- getting ------------------------------------------------------------------------------- */

/* pop(default) -> the next item */
static PyObject *ring_pop(PyObject *op, PyObject *otherwise) {
    void *item;
    if (bb_get(((ring_object *)op)->queue, &item, 1, 0) == 1) return item;
    return Py_NewRef(otherwise);
}

/* Fill a list that was made for `size` items with `n`, and shorten it. In steps for which CPython
 * allocates nothing: the items have been taken. */
static void fill_list(PyObject *list, Py_ssize_t size, void **items, Py_ssize_t n) {
    enum { STEP = 8 };
    for (Py_ssize_t i = 0; i < size; i++)
        PyList_SetItem(list, i, i < n ? items[i] : Py_NewRef(Py_None));
    for (; size > n; size -= STEP)
        PyList_SetSlice(list, size - STEP > n ? size - STEP : n, size, NULL);
}

/* Take up to n items after waiting for the first; the result is that of bb_get. -1: a signal
 * handler raised, and nothing was taken. */
static int wait_for_items(bb_queue *queue, void **items, int32_t n, uint64_t until, uint64_t slice,
                          int32_t *found) {
    int32_t woken = 0;
    while ((*found = bb_get(queue, items, n, woken)) == 0) {
        uint64_t now = bb_clock();
        if (now >= until) break;
        woken = bb_wait_item(queue, until - now > slice ? now + slice : until);
        if (!woken && PyErr_CheckSignals() < 0) return -1;
    }
    return 0;
}

/* get(n, timeout, slice) -> a list of up to n items, empty if the time is over; None if shut, False
 * if gone. Waits for the first only. Memory is allocated before anything is taken. */
static PyObject *ring_get(PyObject *op, PyObject *args) {
    ring_object *self = (ring_object *)op;
    int n;
    long long timeout, slice;
    if (!PyArg_ParseTuple(args, "iLL:get", &n, &timeout, &slice)) return NULL;
    enum { MAX_ITEMS = 1024 };
    void *items[MAX_ITEMS];
    if (n > MAX_ITEMS) n = MAX_ITEMS;
    PyObject *list = PyList_New(n);
    if (list == NULL) return NULL;
    int32_t found;
    Py_INCREF(op); /* signal handlers may drop it */
    int status =
        wait_for_items(self->queue, items, n, deadline_of(timeout), (uint64_t)slice, &found);
    Py_DECREF(op);
    fill_list(list, n, items, found);
    if (status == 0 && found >= 0) return list;
    Py_DECREF(list);
    return status < 0 ? NULL : Py_NewRef(found == BB_GONE ? Py_False : Py_None);
}

/* ---- the rest ------------------------------------------------------------------------------ */

typedef struct {
    void **items;
    int32_t found;
    int32_t room;
} copy;

static int32_t copy_item(void *item, void *argument) {
    copy *c = argument;
    if (c->found == c->room) return 1;
    c->items[c->found++] = Py_NewRef((PyObject *)item);
    return 0;
}

/* items() -> a list, in the order of `get`. Memory is allocated before: with the mutex held, a
 * collection would visit this very queue. */
static PyObject *ring_items(PyObject *op, PyObject *unused) {
    (void)unused;
    ring_object *self = (ring_object *)op;
    copy c = {.room = bb_depth(self->queue)};
    c.items = PyMem_Malloc((size_t)(c.room > 0 ? c.room : 1) * sizeof *c.items);
    if (c.items == NULL) return PyErr_NoMemory();
    bb_visit(self->queue, copy_item, &c);
    PyObject *list = PyList_New(c.found);
    for (int32_t i = 0; i < c.found; i++) {
        if (list != NULL) PyList_SetItem(list, i, c.items[i]);
        else Py_DECREF((PyObject *)c.items[i]);
    }
    PyMem_Free(c.items);
    return list;
}

/* discard() -> how many */
static PyObject *ring_discard(PyObject *op, PyObject *unused) {
    (void)unused;
    return PyLong_FromSsize_t(discard_items((ring_object *)op));
}

static PyMethodDef methods[] = {
    {"push", (PyCFunction)(void (*)(void))ring_push, METH_FASTCALL,
     "push($self, item, level, /)\n--\n\nPut an item if there is a free slot: 1 or 0."},
    {"push_many", ring_push_many, METH_VARARGS,
     "push_many($self, items, start, level, /)\n--\n\n"
     "Put items of a tuple while there are free slots; return how many."},
    {"put", ring_put, METH_VARARGS,
     "put($self, item, level, timeout_ns, slice_ns, /)\n--\n\n"
     "Put an item, after waiting for a free slot: 1, or 0 if the time is over."},
    {"pop", ring_pop, METH_O, "pop($self, default, /)\n--\n\nTake the next item."},
    {"get", ring_get, METH_VARARGS,
     "get($self, n, timeout_ns, slice_ns, /)\n--\n\n"
     "Take up to n items, after waiting for the first; None: shut, False: gone."},
    {"items", ring_items, METH_NOARGS, "items($self, /)\n--\n\nReturn what is queued."},
    {"discard", ring_discard, METH_NOARGS,
     "discard($self, /)\n--\n\nShut the queue and drop what is queued; return how many."},
    {0},
};

static PyMemberDef members[] = {
    {"owner", T_OBJECT_EX, offsetof(ring_object, owner), READONLY, "The queue."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_members, members},
    {Py_tp_doc,
     "Ring(owner, address, levels)\n--\n\nPuts objects into a queue and takes them out."},
    {Py_tp_new, ring_new},
    {Py_tp_traverse, ring_traverse},
    {Py_tp_clear, ring_clear},
    {Py_tp_dealloc, ring_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "brummerbus._core._ext.Ring",
    .basicsize = sizeof(ring_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int add_ring(PyObject *module) { return add_type(module, &spec, &ring_type); }
