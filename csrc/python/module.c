/* module.c: the extension module that cffi builds, with the types of this folder added.
 *
 * cffi generates the module's initialisation under the name `cffi_init_ext` (_ffi_build.py renames
 * it), and this file contains the one that Python calls.
 *
 * What does not work: `bb_install(id(module))` called through cffi (an exception cannot leave a
 * cffi call); a second module in the same file (it needs a loader of its own).
 */
#include "native.h"

PyObject *cffi_init_ext(void);

static void *detach(void) { return PyEval_SaveThread(); }
static void attach(void *token) { PyEval_RestoreThread(token); }

/* Of what is no Event, the address. Called with a queue's mutex held: it only reads. */
static uint64_t event_id(const void *queued) {
    PyObject *event = event_of((void *)queued);
    if (!PyObject_TypeCheck(event, event_type)) return (uint64_t)(uintptr_t)event;
    return (uint64_t)((event_object *)event)->id;
}

int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type) {
    *type = (PyTypeObject *)PyType_FromSpec(spec);
    if (*type == NULL) return -1;
    const char *dot = strrchr(spec->name, '.');
    return PyModule_AddObjectRef(module, dot + 1, (PyObject *)*type);
}

#ifdef Py_GIL_DISABLED
PyMutex tables;

/* In the child of a fork no thread is in such a step: the one that forks was in none. */
static void reset_tables(void) { tables = (PyMutex){0}; }
#else
static void reset_tables(void) {}
#endif

/* ---- owning a queue ------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    bb_queue *queue;
} owner_object;

/* Owner: the base of `Queue` in Python, frees the C queue when it is itself freed. Not in a
 * `__del__`, nor by an object that a `Queue` refers to: the garbage collector finalizes and clears
 * the objects of a cycle in any order, and others of them, which hold the `Queue`, still need the C
 * queue: the `__del__` of the bus closes it, a ring takes its items out. */
static PyObject *owner_own(PyObject *op, PyObject *address) {
    if (!PyLong_Check(address) || ((owner_object *)op)->queue != NULL) {
        PyErr_SetString(PyExc_ValueError, "own: an address, once");
        return NULL;
    }
    void *queue = PyLong_AsVoidPtr(address);
    if (queue == NULL && PyErr_Occurred()) return NULL;
    ((owner_object *)op)->queue = queue;
    return Py_NewRef(Py_None);
}

static void owner_dealloc(PyObject *op) {
    bb_queue *queue = ((owner_object *)op)->queue;
    if (queue != NULL) bb_queue_free(queue);
    free_object(op);
}

static PyMethodDef owner_methods[] = {
    {"own", owner_own, METH_O, "own($self, address, /)\n--\n\nTake over a queue; once."},
    {0},
};

static PyType_Slot owner_slots[] = {
    {Py_tp_doc, "Owner()\n--\n\nFrees a queue when it is itself freed."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, owner_dealloc},
    {Py_tp_methods, owner_methods},
    {0, NULL},
};

static PyType_Spec owner_spec = {
    .name = "brummerbus._core._ext.Owner",
    .basicsize = sizeof(owner_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = owner_slots,
};

static PyTypeObject *owner_type;

/* ---- objects in a queue --------------------------------------------------------------------- */

static void let_go_open(const bb_open_delivery *open) {
    Py_DECREF(object_of(open->event));
    Py_DECREF((PyObject *)recipient_of(open->recipient));
}

/* Takes over both references. */
static PyObject *delivery_tuple(const bb_open_delivery *open) {
    PyObject *tuple = Py_BuildValue("(KOOKKi)", open->thread, event_of(open->event),
                                    (PyObject *)recipient_of(open->recipient), open->ns,
                                    open->number, open->index);
    let_go_open(open);
    return tuple;
}

static void hold_open(const bb_open_delivery *open) {
    Py_INCREF(object_of(open->event));
    Py_INCREF((PyObject *)recipient_of(open->recipient));
}

/* As bb_running, into memory that is large enough, for batches too: it grows until something is
 * left of it. NULL: without memory. */
static bb_open_delivery *find_running(bb_queue *queue, int32_t *found) {
    enum { FIRST = 256, MAX = 1 << 24 };
    for (int32_t size = FIRST;; size *= 4) {
        bb_open_delivery *open = PyMem_Malloc((size_t)size * sizeof *open);
        if (open == NULL) return NULL;
        *found = bb_running(queue, open, size, hold_open);
        if (*found < size || size >= MAX) return open;
        for (int32_t i = 0; i < *found; i++) let_go_open(&open[i]);
        PyMem_Free(open);
    }
}

/* running_in(address) -> [(thread, event, recipient, ns, number, index), ...] */
static PyObject *running_in(PyObject *module, PyObject *address) {
    (void)module;
    bb_queue *queue = PyLong_AsVoidPtr(address);
    if (queue == NULL) return PyErr_Occurred() ? NULL : PyList_New(0);
    int32_t n;
    bb_open_delivery *open = find_running(queue, &n);
    if (open == NULL) return PyErr_NoMemory();
    PyObject *found = PyList_New(n);
    for (int32_t i = 0; i < n; i++) {
        PyObject *one = found != NULL ? delivery_tuple(&open[i]) : NULL;
        if (found == NULL) {
            let_go_open(&open[i]);
        } else if (one == NULL) {
            Py_CLEAR(found);
        } else {
            PyList_SetItem(found, i, one);
        }
    }
    PyMem_Free(open);
    return found;
}

/* level_of(i) -> the level of the delivery that the calling thread runs, of a batch the one with
 * index `i`; 0: it runs none. */
static PyObject *level_of(PyObject *module, PyObject *index) {
    (void)module;
    long i = PyLong_AsLong(index);
    if (i == -1 && PyErr_Occurred()) return NULL;
    if (i < 0 || i > INT32_MAX) return PyLong_FromLong(0);
    if (here.caller != NULL) return PyLong_FromLong(i == 0 ? bb_caller_level(here.caller) : 0);
    return PyLong_FromLong(here.worker != NULL ? bb_call_level(here.worker, (int32_t)i) : 0);
}

/* (list as of new_delivery_list, n) of what a function removes from a queue. */
static PyObject *removed(PyObject *address, int32_t (*remove)(bb_queue *, bb_delivery *, int32_t)) {
    bb_queue *queue = PyLong_AsVoidPtr(address);
    if (queue == NULL && PyErr_Occurred()) return NULL;
    enum { AT_ONCE = 32 };
    bb_delivery out[AT_ONCE];
    PyObject *lost = new_delivery_list(AT_ONCE);
    if (lost == NULL) return NULL;
    int32_t n = remove(queue, out, AT_ONCE);
    for (int32_t i = 0; i < n; i++) put_lost(lost, i, &out[i]);
    return Py_BuildValue("Ni", lost, n);
}

/* discard(address): deliveries of a shut queue. purge(address): those that have expired. */
static PyObject *discard(PyObject *module, PyObject *address) {
    (void)module;
    return removed(address, bb_discard);
}

static PyObject *purge(PyObject *module, PyObject *address) {
    (void)module;
    return removed(address, bb_purge);
}

/* swap_item(dict, key, old, new): set the item of a str or an int to the tuple `new` if it is
 * `old`, in one step; an empty tuple stands for no item. It lets tables change without a lock of
 * Python's: a finalizer or signal handler may run anywhere in Python code, and would deadlock. */
static PyObject *swap_item(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *dict, *key, *old, *new;
    if (!PyArg_ParseTuple(args, "O!OO!O!:swap_item", &PyDict_Type, &dict, &key, &PyTuple_Type, &old,
                          &PyTuple_Type, &new))
        return NULL;
    int status = 0, same;
    LOCK_TABLES
    PyObject *found = PyDict_GetItemWithError(dict, key);
    same = found == old || (found == NULL && PyTuple_Size(old) == 0);
    if (found == NULL && PyErr_Occurred()) status = -1;
    else if (same && PyTuple_Size(new) > 0) status = PyDict_SetItem(dict, key, new);
    else if (same && found != NULL) status = PyDict_DelItem(dict, key);
    UNLOCK_TABLES
    return status < 0 ? NULL : PyBool_FromLong(same);
}

/* append_below(deque, item, limit): append to a deque shorter than `limit`, in one step with regard
 * to all other calls. Nothing is allocated in between that a collection could begin with, and with
 * it code that appends. */
static PyObject *append_below(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *deque, *item, *result = NULL;
    Py_ssize_t limit, size;
    if (!PyArg_ParseTuple(args, "OOn:append_below", &deque, &item, &limit)) return NULL;
    PyObject *append = PyObject_GetAttrString(deque, "append");
    if (append == NULL) return NULL;
    LOCK_TABLES
    size = PyObject_Size(deque);
    if (size >= 0 && size < limit) result = PyObject_CallFunctionObjArgs(append, item, NULL);
    UNLOCK_TABLES
    Py_DECREF(append);
    if (size < 0 || (size < limit && result == NULL)) return NULL;
    Py_XDECREF(result);
    return PyBool_FromLong(size < limit);
}

/* check_interpreter(): the types are shared by the process, and a worker that is alive when its
 * interpreter ends is fatal to the process ("thread still has a frame"): fail early. Not in the
 * module's initialisation, which a second interpreter of Python 3.11 does not run. */
static PyObject *check_interpreter(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) == 0) return Py_NewRef(Py_None);
    PyErr_SetString(PyExc_ImportError,
                    "brummerbus works in the main interpreter only, not in others");
    return NULL;
}

#if !defined(_WIN32) && !defined(Py_GIL_DISABLED)
#define CAN_REPAIR
/* after_fork(): what Python does in the child after its own forks, for a fork made by C code.
 * Without it the GIL is in the state in which the parent's threads left it, and no thread can be
 * started. Without a GIL this would end the process: Python's own forks stop all threads before,
 * and it would let them go on. */
static PyObject *after_fork(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyOS_AfterFork_Child();
    return Py_NewRef(Py_None);
}
#endif

static PyMethodDef functions[] = {
#ifdef CAN_REPAIR
    {"after_fork", after_fork, METH_NOARGS,
     "after_fork()\n--\n\nRepair the interpreter in the child of a fork that C code made."},
#endif
    {"check_interpreter", check_interpreter, METH_NOARGS,
     "check_interpreter()\n--\n\nRaise ImportError in all but the main interpreter."},
    {"swap_item", swap_item, METH_VARARGS,
     "swap_item(dict, key, old, new, /)\n--\n\n"
     "Set an item, a tuple, to `new` if it is `old`; return whether it was. () means no item."},
    {"append_below", append_below, METH_VARARGS,
     "append_below(deque, item, limit, /)\n--\n\n"
     "Append to a deque that is shorter than `limit`, in one step; return whether it was."},
    {"running_in", running_in, METH_O,
     "running_in(address, /)\n--\n\n"
     "Return the running deliveries: (thread, event, recipient, ns, number, index) each."},
    {"level_of", level_of, METH_O,
     "level_of(index, /)\n--\n\n"
     "Return the level of the delivery that this thread runs, by its index in the batch; 0: none."},
    {"purge", purge, METH_O,
     "purge(address, /)\n--\n\nRemove deliveries that have expired, like discard."},
    {"discard", discard, METH_O,
     "discard(address, /)\n--\n\n"
     "Remove deliveries from a shut queue: ([event, recipient, hook depth, ...], n)."},
    {0},
};

PyMODINIT_FUNC PyInit__ext(void) {
    host = (bb_host){
        .detach = detach, .attach = attach, .parallel = IS_FREE_THREADED, .event_id = event_id};
    if (!bb_watch_forks() || !bb_at_fork_in_child(reset_tables)) return PyErr_NoMemory();
    PyObject *module = cffi_init_ext();
    if (module == NULL) return NULL;
#ifdef Py_GIL_DISABLED
    PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
    if (add_event(module) < 0 || add_recipient(module) < 0 || add_route(module) < 0 ||
        add_publisher(module) < 0 || add_worker(module) < 0 || add_lane(module) < 0 ||
        add_ticket(module) < 0 || add_completion(module) < 0 || add_ring(module) < 0 ||
        add_handlers(module) < 0 || add_type(module, &owner_spec, &owner_type) < 0 ||
        add_buffer(module) < 0 || add_detached(module) < 0 || add_entry(module) < 0 ||
        add_turn(module) < 0 || PyModule_AddFunctions(module, functions) < 0)
        Py_CLEAR(module);
    return module;
}
