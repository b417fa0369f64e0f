/* event.c: the event, an immutable object.
 *
 * In C because creating one costs as much as publishing it. Methods that are not called for every
 * event (repr, copying, pickling, `replace`, refusing to set attributes) are added in _events.py.
 *
 * A chain of events, each the data of the next, is freed without recursion. The interpreter's
 * trashcan, which the limited API does not offer, does the same for a chain with subclasses or
 * containers between the events.
 */
#include "native.h"

PyTypeObject *event_type;

static PyObject *no_source; /* '' */

#define MAX_NESTED_FREES 40 /* a frame of event_free takes some 100 bytes */

static BB_THREAD_LOCAL int32_t depth_of_free;
static BB_THREAD_LOCAL event_object *freed_later; /* linked through `weak` */

static long long next_id(void) {
    static long long last;
#ifdef Py_GIL_DISABLED
    return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
#else
    return ++last;
#endif
}

static PyObject *event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs; /* they are for __init__, where a subclass may take others */
    return PyType_GenericNew(type, NULL, NULL);
}

/* Set a TypeError that shows the value, or its type if its repr fails. */
static void refuse(const char *name, PyObject *value) {
    PyObject *text = PyObject_Repr(value);
    if (text != NULL) {
        PyErr_Format(PyExc_TypeError, "%s must be a string, got %.100U", name, text);
    } else {
        PyErr_Clear();
        PyErr_Format(PyExc_TypeError, "%s must be a string, got an object of %R", name,
                     (PyObject *)Py_TYPE(value));
    }
    Py_XDECREF(text);
}

/* The exact str for a string or an instance of a subclass such as EventType. */
static PyObject *plain_string(const char *name, PyObject *value) {
    if (PyUnicode_CheckExact(value)) return Py_NewRef(value);
    if (PyUnicode_Check(value)) {
        PyObject *plain = PyUnicode_FromObject(value);
        if (plain != NULL) PyUnicode_InternInPlace(&plain); /* dicts then find it by identity */
        return plain;
    }
    refuse(name, value);
    return NULL;
}

static int set_fields(event_object *self, PyObject *type, PyObject *data, PyObject *source) {
    if (self->type != NULL) {
        PyErr_SetString(PyExc_AttributeError, "Event is immutable: it is initialised already");
        return -1;
    }
    PyObject *plain = plain_string("type", type);
    if (plain == NULL) return -1;
    if (PyUnicode_GetLength(plain) == 0) {
        Py_DECREF(plain);
        PyErr_SetString(PyExc_ValueError, "type must be a non-empty string, got ''");
        return -1;
    }
    if (source != NULL && !PyUnicode_Check(source)) {
        Py_DECREF(plain);
        refuse("source", source);
        return -1;
    }
    self->data = Py_NewRef(data);
    self->source = Py_NewRef(source != NULL ? source : no_source);
    self->type = plain;
    return 0;
}

static int event_init(PyObject *op, PyObject *args, PyObject *kwargs) {
    event_object *self = (event_object *)op;
    PyObject *type = NULL, *data = Py_None, *source = NULL;
    Py_ssize_t n = PyTuple_Size(args);
    if (kwargs == NULL && (n == 1 || n == 2)) { /* the usual call, without the parser */
        type = PyTuple_GetItem(args, 0);
        if (n == 2) data = PyTuple_GetItem(args, 1);
    } else {
        static char *names[] = {"type", "data", "source", NULL};
        if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O$O:Event", names, &type, &data, &source))
            return -1;
    }
    if (set_fields(self, type, data, source) < 0) return -1;
    self->id = next_id();
    self->timestamp = bb_wall_clock();
    return 0;
}

static int event_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((event_object *)op)->data);
    return 0;
}

static int event_clear(PyObject *op) {
    Py_CLEAR(((event_object *)op)->data);
    return 0;
}

static void event_free(event_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    Py_CLEAR(self->type);
    Py_CLEAR(self->source);
    Py_CLEAR(self->data);
    if (type == event_type) PyObject_GC_Del(self);
    else ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* The link of a chain: nested up to a depth, and after that left to the outermost. */
static void free_link(event_object *self) {
    if (depth_of_free >= MAX_NESTED_FREES) {
        self->weak = (PyObject *)freed_later;
        freed_later = self;
        return;
    }
    depth_of_free++;
    event_free(self);
    depth_of_free--;
    while (depth_of_free == 0 && freed_later != NULL) {
        event_object *next = freed_later;
        freed_later = (event_object *)next->weak;
        next->weak = NULL;
        depth_of_free++;
        event_free(next);
        depth_of_free--;
    }
}

static void event_dealloc(PyObject *op) {
    event_object *self = (event_object *)op;
    PyObject_GC_UnTrack(op);
    if (self->weak != NULL) PyObject_ClearWeakRefs(op);
    if (self->data != NULL && Py_TYPE(self->data) == event_type) free_link(self);
    else event_free(self);
}

/* restore_event(cls, type, data, source, id, timestamp): an event that was copied or pickled. */
static PyObject *restore_event(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *cls, *type, *data, *source;
    long long id;
    double timestamp;
    if (!PyArg_ParseTuple(args, "O!OOOLd", &PyType_Type, &cls, &type, &data, &source, &id,
                          &timestamp))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)cls, event_type)) {
        PyErr_Format(PyExc_TypeError, "cls must be Event or a subclass, got %.100R", cls);
        return NULL;
    }
    PyObject *op = event_new((PyTypeObject *)cls, NULL, NULL);
    if (op == NULL) return NULL;
    event_object *self = (event_object *)op;
    if (set_fields(self, type, data, source) < 0) {
        Py_DECREF(op);
        return NULL;
    }
    self->id = id != 0 ? id : next_id();
    self->timestamp = id != 0 ? timestamp : bb_wall_clock();
    return op;
}

static PyMemberDef members[] = {
    {"type", T_OBJECT_EX, offsetof(event_object, type), READONLY, "What happened, a plain str."},
    {"data", T_OBJECT_EX, offsetof(event_object, data), READONLY, "The payload, any object."},
    {"source", T_OBJECT_EX, offsetof(event_object, source), READONLY, "The origin; may be empty."},
    {"id", T_LONGLONG, offsetof(event_object, id), READONLY,
     "Unique in this process, increasing with each event made."},
    {"timestamp", T_DOUBLE, offsetof(event_object, timestamp), READONLY,
     "When it was made, in seconds since the epoch."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(event_object, weak), READONLY, NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Event(type, data=None, *, source='')\n--\n\n"
     "Something that happened. Immutable, compared by identity, open to subclasses.\n\n"
     "Args:\n"
     "    type: What happened, a non-empty string such as \"log.line\" or an `EventType`.\n"
     "        Kept as a plain `str`.\n"
     "    data: The payload, any object. It is never compared, hashed or copied.\n"
     "    source: The origin of the event, a string; empty by default.\n\n"
     "Attributes:\n"
     "    id: Unique in this process, increasing with each event made.\n"
     "    timestamp: When it was made, in seconds since the epoch.\n\n"
     "A copy, deep or not, and an unpickled event have the id and timestamp of the original;\n"
     "`replace` makes a new event. A subclass may add attributes of its own.\n\n"
     "Raises:\n"
     "    TypeError: `type` or `source` is not a string.\n"
     "    ValueError: `type` is empty.\n"},
    {Py_tp_new, event_new},
    {Py_tp_init, event_init},
    {Py_tp_traverse, event_traverse},
    {Py_tp_clear, event_clear},
    {Py_tp_dealloc, event_dealloc},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "brummerbus.Event",
    .basicsize = sizeof(event_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

static PyMethodDef functions[] = {
    {"restore_event", restore_event, METH_VARARGS,
     "restore_event(cls, type, data, source, id, timestamp)\n--\n\n"
     "Return an event that was copied or pickled; with id 0, a new one."},
    {0},
};

int add_event(PyObject *module) {
    no_source = PyUnicode_InternFromString("");
    if (no_source == NULL) return -1;
    if (PyModule_AddFunctions(module, functions) < 0) return -1;
    return add_type(module, &spec, &event_type);
}
