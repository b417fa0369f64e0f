/* entry.c: the first thing that a thread of the package calls.
 *
 * An Entry calls a function and releases a lock, for which the thread's starter waits.
 *
 * Guarantees
 * - The lock is released whatever happens: when the function has returned or raised, also where
 *   there was no memory for its first frame, and when the Entry dies without having been called.
 * - Nothing is allocated on the way: `Thread.start` waits for ever for a thread that finds no
 *   memory (python/cpython#140746), and code in Python which released the lock would find none
 *   either.
 */
#include "native.h"

static PyTypeObject *entry_type;
static PyObject *name_release; /* interned: a new one is an allocation, and kept by type caches */

typedef struct {
    PyObject_HEAD
    PyObject *function, *lock; /* NULL: called already */
} entry_object;

/* Entry(function, lock) */
static PyObject *entry_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    PyObject *function, *lock;
    if (!PyArg_ParseTuple(args, "OO:Entry", &function, &lock)) return NULL;
    entry_object *self = (entry_object *)PyType_GenericNew(type, NULL, NULL);
    if (self == NULL) return NULL;
    self->function = Py_NewRef(function);
    self->lock = Py_NewRef(lock);
    return (PyObject *)self;
}

/* One that is free already has been released by the thread, which has reached its work. */
void release_lock(PyObject *lock) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *result = PyObject_CallMethodObjArgs(lock, name_release, NULL);
    if (result == NULL) PyErr_Clear();
    Py_XDECREF(result);
    PyErr_Restore(type, value, traceback);
}

static PyObject *entry_call(PyObject *op, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    entry_object *self = (entry_object *)op;
    PyObject *function, *lock;
    BEGIN_CRITICAL(self)
    function = self->function;
    lock = self->lock;
    self->function = self->lock = NULL;
    END_CRITICAL
    if (function == NULL) return Py_NewRef(Py_None);
    PyObject *result = PyObject_CallFunctionObjArgs(function, NULL);
    Py_DECREF(function);
    release_lock(lock);
    Py_DECREF(lock);
    return result;
}

static int entry_traverse(PyObject *op, visitproc visit, void *arg) {
    entry_object *self = (entry_object *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->function);
    Py_VISIT(self->lock);
    return 0;
}

static int entry_clear(PyObject *op) {
    entry_object *self = (entry_object *)op;
    if (self->lock != NULL) release_lock(self->lock);
    Py_CLEAR(self->lock);
    Py_CLEAR(self->function);
    return 0;
}

static void entry_dealloc(PyObject *op) {
    PyObject_GC_UnTrack(op);
    entry_clear(op);
    free_object(op);
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "Entry(function, lock)\n--\n\nCalls the function, then releases the lock."},
    {Py_tp_new, entry_new},
    {Py_tp_call, entry_call},
    {Py_tp_traverse, entry_traverse},
    {Py_tp_clear, entry_clear},
    {Py_tp_dealloc, entry_dealloc},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "brummerbus._core._ext.Entry",
    .basicsize = sizeof(entry_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int add_entry(PyObject *module) {
    name_release = PyUnicode_InternFromString("release");
    return name_release != NULL ? add_type(module, &spec, &entry_type) : -1;
}
