/* buffer.c: where the publishers' threads put events for a stream (`_core/streams.py`).
 *
 * Guarantees
 * - `put` takes constant time, waits for nothing and runs no Python code, except where the consumer
 *   sleeps (`arm`), which it wakes, once: `_wake` is called by the thread whose event was the
 *   first.
 * - An event that was put is taken by the consumer, or counted as dropped, or let go by `clear`.
 * - If `_wake` raises, it is called again, and after that with the next `put`: no wake-up is lost
 *   to an interrupt.
 * - In the child of a fork it takes nothing: its consumer is the parent's.
 *
 * A consumer whose event loop ends without a word never takes again. So `_wake` is also called at
 * every `limit`-th drop in a row: it then finds that the loop is closed, and ends the buffer.
 */
#include "native.h"

PyTypeObject *buffer_type;

static PyObject *name_wake;

enum { FIRST_SIZE = 16 };

typedef struct {
    PyObject_HEAD
    PyObject **items; /* a ring */
    Py_ssize_t size;  /* of the ring: a power of two */
    Py_ssize_t head;
    Py_ssize_t count;
    Py_ssize_t limit;         /* events that it holds at most */
    unsigned long long given; /* = taken + dropped + let_go + count */
    unsigned long long dropped;
    unsigned long long let_go;
    Py_ssize_t in_a_row; /* dropped since something was taken */
    long long forks;
    char drops_oldest;
    char asleep; /* the consumer waits to be woken */
    char ended;
} buffer_object;

/* Buffer(limit, drops_oldest) */
static PyObject *buffer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    Py_ssize_t limit;
    int drops_oldest;
    if (!PyArg_ParseTuple(args, "np:Buffer", &limit, &drops_oldest)) return NULL;
    if (limit < 1) {
        PyErr_SetString(PyExc_ValueError, "Buffer: the limit must be at least 1");
        return NULL;
    }
    PyObject *op = PyType_GenericNew(type, NULL, NULL);
    if (op == NULL) return NULL;
    buffer_object *self = (buffer_object *)op;
    self->limit = limit;
    self->drops_oldest = (char)drops_oldest;
    self->forks = bb_fork_count();
    return op;
}

/* ---- the ring ------------------------------------------------------------------------------ */

static PyObject **at(const buffer_object *self, Py_ssize_t i) {
    return &self->items[(self->head + i) & (self->size - 1)];
}

/* Room for one more; false without memory. */
static bool grow(buffer_object *self) {
    if (self->count < self->size) return true;
    Py_ssize_t size = self->size > 0 ? 2 * self->size : FIRST_SIZE;
    PyObject **items = PyMem_Malloc((size_t)size * sizeof *items);
    if (items == NULL) return false;
    for (Py_ssize_t i = 0; i < self->count; i++) items[i] = *at(self, i);
    PyMem_Free(self->items);
    self->items = items;
    self->size = size;
    self->head = 0;
    return true;
}

static PyObject *pop(buffer_object *self) {
    PyObject *event = *at(self, 0);
    self->head = (self->head + 1) & (self->size - 1);
    self->count--;
    return event;
}

static bool is_over(const buffer_object *self) {
    return self->ended || self->forks != bb_fork_count();
}

/* ---- the publisher's side ------------------------------------------------------------------ */

/* Twice, if an interrupt strikes the first time. */
static int wake(PyObject *op) {
    PyObject *result = PyObject_CallMethodObjArgs(op, name_wake, NULL);
    if (result != NULL) {
        Py_DECREF(result);
        return 0;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    result = PyObject_CallMethodObjArgs(op, name_wake, NULL);
    if (result == NULL) {
        BEGIN_CRITICAL(op)
        ((buffer_object *)op)->asleep = 1;
        END_CRITICAL
    }
    Py_XDECREF(result);
    PyErr_Restore(type, value, traceback);
    return -1;
}

int put_in_buffer(PyObject *op, PyObject *event) {
    buffer_object *self = (buffer_object *)op;
    PyObject *out = NULL; /* dropped after the ring is in order: a finalizer may publish */
    bool wakes = false;
    BEGIN_CRITICAL(op)
    if (!is_over(self)) {
        self->given++;
        bool full = self->count >= self->limit;
        if (full && self->drops_oldest) out = pop(self);
        if ((!full || self->drops_oldest) && grow(self)) {
            *at(self, self->count++) = Py_NewRef(event);
            wakes = self->asleep;
        } else {
            full = true;
        }
        if (full) {
            self->dropped++;
            wakes = ++self->in_a_row % self->limit == 0 || wakes;
        }
        if (wakes) self->asleep = 0;
    }
    END_CRITICAL
    Py_XDECREF(out);
    return wakes ? wake(op) : 0;
}

/* put(event): hand over an event that was accepted. */
static PyObject *buffer_put(PyObject *op, PyObject *event) {
    if (put_in_buffer(op, event) < 0) return NULL;
    return Py_NewRef(Py_None);
}

int put_in_buffers(PyObject *buffers, PyObject *event) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback); /* of another event of the same call */
    for (Py_ssize_t i = 0; i < PyTuple_Size(buffers); i++) {
        if (put_in_buffer(PyTuple_GetItem(buffers, i), event) == 0) continue;
        Py_XDECREF(type); /* an interrupt: the others get the event all the same */
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        PyErr_Fetch(&type, &value, &traceback);
    }
    if (type == NULL) return 0;
    PyErr_Restore(type, value, traceback);
    return -1;
}

/* ---- the consumer's side ------------------------------------------------------------------- */

/* pop(): the oldest event. */
static PyObject *buffer_pop(PyObject *op, PyObject *unused) {
    (void)unused;
    buffer_object *self = (buffer_object *)op;
    PyObject *event = NULL;
    BEGIN_CRITICAL(op)
    if (self->count > 0) {
        event = pop(self);
        self->in_a_row = 0;
    }
    END_CRITICAL
    if (event == NULL) PyErr_SetNone(PyExc_IndexError);
    return event;
}

/* take(n): a list of the oldest events, n of them at most. */
static PyObject *buffer_take(PyObject *op, PyObject *number) {
    buffer_object *self = (buffer_object *)op;
    Py_ssize_t n = PyLong_AsSsize_t(number), taken = 0;
    if (n == -1 && PyErr_Occurred()) return NULL;
    if (n > self->count) n = self->count;
    PyObject *events = PyList_New(n > 0 ? n : 0);
    if (events == NULL) return NULL;
    BEGIN_CRITICAL(op)
    for (; taken < n && self->count > 0; taken++) PyList_SetItem(events, taken, pop(self));
    if (taken > 0) self->in_a_row = 0;
    END_CRITICAL
    /* Another consumer, or the collection that the list may have started, was faster. */
    if (taken < n && PyList_SetSlice(events, taken, n, NULL) < 0) Py_CLEAR(events);
    return events;
}

/* arm(): ask to be woken by the next event. False: there is one, or there will be none. */
static PyObject *buffer_arm(PyObject *op, PyObject *unused) {
    (void)unused;
    buffer_object *self = (buffer_object *)op;
    bool sleeps;
    BEGIN_CRITICAL(op)
    sleeps = self->count == 0 && !is_over(self);
    if (sleeps) self->asleep = 1;
    END_CRITICAL
    return PyBool_FromLong(sleeps);
}

/* end(): take no more events, and wake the consumer; what it holds can still be taken. */
static PyObject *buffer_end(PyObject *op, PyObject *unused) {
    (void)unused;
    buffer_object *self = (buffer_object *)op;
    bool wakes;
    BEGIN_CRITICAL(op)
    self->ended = 1;
    wakes = self->asleep;
    self->asleep = 0;
    END_CRITICAL
    if (wakes && self->forks == bb_fork_count() && wake(op) < 0) return NULL;
    return Py_NewRef(Py_None);
}

/* clear() -> int: let go of what it holds. */
static PyObject *buffer_clear(PyObject *op, PyObject *unused) {
    (void)unused;
    buffer_object *self = (buffer_object *)op;
    Py_ssize_t n = 0;
    PyObject *event;
    do {
        BEGIN_CRITICAL(op)
        event = self->count > 0 ? pop(self) : NULL;
        if (event != NULL) self->let_go++;
        END_CRITICAL
        if (event != NULL) n++;
        Py_XDECREF(event);
    } while (event != NULL);
    return PyLong_FromSsize_t(n);
}

/* counts() -> (given, dropped or let go, held), of one moment. */
static PyObject *buffer_counts(PyObject *op, PyObject *unused) {
    (void)unused;
    buffer_object *self = (buffer_object *)op;
    unsigned long long given, gone;
    Py_ssize_t held;
    BEGIN_CRITICAL(op)
    given = self->given;
    gone = self->dropped + self->let_go;
    held = self->count;
    END_CRITICAL
    return Py_BuildValue("(KKn)", given, gone, held);
}

/* ---- the type ------------------------------------------------------------------------------ */

static PyObject *buffer_is_over(PyObject *op, void *closure) {
    (void)closure;
    return PyBool_FromLong(is_over((buffer_object *)op));
}

static Py_ssize_t buffer_length(PyObject *op) { return ((buffer_object *)op)->count; }

static int buffer_traverse(PyObject *op, visitproc visit, void *arg) {
    buffer_object *self = (buffer_object *)op;
    Py_VISIT(Py_TYPE(op));
    for (Py_ssize_t i = 0; i < self->count; i++) Py_VISIT(*at(self, i));
    return 0;
}

static int buffer_collect(PyObject *op) {
    buffer_object *self = (buffer_object *)op;
    while (self->count > 0) Py_DECREF(pop(self));
    return 0;
}

static void buffer_dealloc(PyObject *op) {
    PyObject_GC_UnTrack(op);
    buffer_collect(op);
    PyMem_Free(((buffer_object *)op)->items);
    free_object(op);
}

static PyMemberDef members[] = {
    {"dropped", T_ULONGLONG, offsetof(buffer_object, dropped), READONLY,
     "Events for which there was no room."},
    {0},
};

static PyGetSetDef getset[] = {
    {"ended", buffer_is_over, NULL, "Whether it takes no more.", NULL},
    {0},
};

static PyMethodDef methods[] = {
    {"put", buffer_put, METH_O, "put($self, event, /)\n--\n\nHand over an event."},
    {"pop", buffer_pop, METH_NOARGS,
     "pop($self, /)\n--\n\nTake the oldest event; IndexError: there is none."},
    {"take", buffer_take, METH_O,
     "take($self, n, /)\n--\n\nTake the oldest events, up to n, in a list."},
    {"arm", buffer_arm, METH_NOARGS,
     "arm($self, /)\n--\n\n"
     "Ask to be woken by the next event; False: there is one, or there will be none."},
    {"end", buffer_end, METH_NOARGS,
     "end($self, /)\n--\n\nTake no more events; those that it holds can still be taken."},
    {"counts", buffer_counts, METH_NOARGS,
     "counts($self, /)\n--\n\nReturn how many were put, dropped or let go of, and are held."},
    {"clear", buffer_clear, METH_NOARGS,
     "clear($self, /)\n--\n\nLet go of the events; return how many they were."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Buffer(limit, drops_oldest)\n--\n\n"
                "Bounded: publishers put events, a consumer takes them. `_wake` wakes it."},
    {Py_tp_new, buffer_new},
    {Py_tp_traverse, buffer_traverse},
    {Py_tp_clear, buffer_collect},
    {Py_tp_dealloc, buffer_dealloc},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {Py_tp_methods, methods},
    {Py_sq_length, buffer_length},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "brummerbus._core._ext.Buffer",
    .basicsize = sizeof(buffer_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int add_buffer(PyObject *module) {
    name_wake = PyUnicode_InternFromString("_wake");
    return name_wake != NULL ? add_type(module, &spec, &buffer_type) : -1;
}
