/* handler.c: calling a handler, and checking its result.
 *
 * What was tried: calling through PyObject_CallFunctionObjArgs costs some 6 ns more than the vector
 * call (take and handle 76 ns instead of 69).
 */
#include "native.h"

BB_THREAD_LOCAL thread_state here;

static PyTypeObject *generator_type, *async_generator_type;

/* Whether a handler's result means that its work was not done: an awaitable, which is not awaited,
 * or a generator, which is not iterated over. */
static int is_unfinished(PyObject *result) {
    PyTypeObject *type = Py_TYPE(result);
    return type == generator_type || type == async_generator_type ||
           PyType_GetSlot(type, Py_am_await) != NULL;
}

/* Set a TypeError, and close a coroutine, so that Python does not warn that it was never awaited.
 */
static void refuse_result(PyObject *result) {
    PyObject *closed = NULL;
    if (Py_TYPE(result) != async_generator_type && PyObject_HasAttrString(result, "close"))
        closed = PyObject_CallMethod(result, "close", NULL);
    Py_XDECREF(closed);
    PyErr_Clear();
    PyErr_Format(PyExc_TypeError,
                 "the handler returned an object of %R, which nobody awaits or iterates over: "
                 "its work was not done",
                 (PyObject *)Py_TYPE(result));
}

/* The vector call has been in the stable ABI since 3.12 and in the interpreter since 3.11, but is
 * not in the headers of 3.10, the oldest version that a wheel serves: it is looked up when the
 * module is imported. */
#ifdef Py_LIMITED_API
typedef PyObject *(*vector_call)(PyObject *, PyObject *const *, size_t, PyObject *);
static vector_call call_vector;
#define ARGUMENTS_OFFSET ((size_t)1 << (8 * sizeof(size_t) - 1))

static void find_vector_call(void) {
    call_vector = (vector_call)bb_loaded_function("PyObject_Vectorcall");
}

PyObject *call_one(PyObject *callable, PyObject *argument) {
    if (call_vector == NULL) return PyObject_CallFunctionObjArgs(callable, argument, NULL);
    PyObject *arguments[] = {NULL, argument}; /* a bound method puts its object in the first */
    return call_vector(callable, arguments + 1, 1 | ARGUMENTS_OFFSET, NULL);
}
#else
static void find_vector_call(void) {}
PyObject *call_one(PyObject *callable, PyObject *argument) {
    return PyObject_CallOneArg(callable, argument);
}
#endif

static int checked(PyObject *result) {
    if (result != NULL && result != Py_None && is_unfinished(result)) {
        refuse_result(result);
        Py_CLEAR(result);
    }
    int status = result != NULL ? 0 : -1;
    Py_XDECREF(result);
    return status;
}

int call_handler(recipient_object *recipient, PyObject *event) {
    return checked(call_one(recipient->handler, event));
}

/* In a copy: what a handler sets is for itself, and a context can be entered once at a time. */
int call_handler_in(PyObject *context, recipient_object *recipient, PyObject *argument) {
    if (context == NULL) return call_handler(recipient, argument);
    PyObject *copy = PyObject_CallMethod(context, "copy", NULL), *result = NULL;
    if (copy != NULL) result = PyObject_CallMethod(copy, "run", "OO", recipient->handler, argument);
    Py_XDECREF(copy);
    return checked(result);
}

/* ---- lists of lost deliveries ---------------------------------------------------------------- */

PyObject *new_delivery_list(int32_t n) {
    PyObject *list = PyList_New(LOST_FIELDS * (Py_ssize_t)n);
    for (Py_ssize_t i = 0; list != NULL && i < LOST_FIELDS * (Py_ssize_t)n; i++)
        PyList_SetItem(list, i, Py_NewRef(Py_None));
    return list;
}

/* Allocates nothing: a hook depth is a small int. */
void put_lost(PyObject *list, Py_ssize_t i, const bb_delivery *delivery) {
    Py_ssize_t at = LOST_FIELDS * i;
    ticket_object *ticket = ticket_of(delivery->event);
    PyList_SetItem(list, at, ticket != NULL ? Py_NewRef(ticket->event) : delivery->event);
    PyList_SetItem(list, at + 1, (PyObject *)recipient_of(delivery->recipient));
    PyList_SetItem(list, at + 2, PyLong_FromLong(delivery->depth));
    if (ticket != NULL) PyList_SetItem(list, at + 3, (PyObject *)ticket);
}

PyObject *fetch_exception(void) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL && value != NULL) PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value != NULL ? value : Py_NewRef(Py_None);
}

int report_failure(PyObject *report, PyObject *event, recipient_object *recipient, int32_t hooks,
                   PyObject *error) {
    PyObject *depth = PyLong_FromLong(hooks), *result = NULL;
    if (depth != NULL)
        result =
            PyObject_CallFunctionObjArgs(report, event, (PyObject *)recipient, depth, error, NULL);
    int status = result != NULL ? 0 : -1;
    Py_XDECREF(result);
    Py_XDECREF(depth);
    return status;
}

/* ---- for hooks ----------------------------------------------------------------------------- */

/* call_hook(hooks, function, *arguments, **keywords): call a function at that hook depth. */
static PyObject *call_hook(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    Py_ssize_t n = PyTuple_Size(args);
    long hooks = n >= 2 ? PyLong_AsLong(PyTuple_GetItem(args, 0)) : -1;
    if (hooks < 0) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "call_hook(hooks, function, ...)");
        return NULL;
    }
    PyObject *arguments = PyTuple_GetSlice(args, 2, n);
    if (arguments == NULL) return NULL;
    int32_t outer = here.hooks;
    here.hooks = (int32_t)hooks;
    PyObject *result = PyObject_Call(PyTuple_GetItem(args, 1), arguments, kwargs);
    here.hooks = outer;
    Py_DECREF(arguments);
    return result;
}

/* call_inside(address, function, *arguments, **keywords): call a function as a handler of the queue
 * would, which is kept alive by the caller. */
static PyObject *call_inside(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    Py_ssize_t n = PyTuple_Size(args);
    void *queue = n >= 2 ? PyLong_AsVoidPtr(PyTuple_GetItem(args, 0)) : NULL;
    if (queue == NULL) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "call_inside(address, ...)");
        return NULL;
    }
    PyObject *arguments = PyTuple_GetSlice(args, 2, n);
    if (arguments == NULL) return NULL;
    handler_frame frame = {.queue = queue, .outer = here.innermost};
    here.innermost = &frame;
    PyObject *result = PyObject_Call(PyTuple_GetItem(args, 1), arguments, kwargs);
    here.innermost = frame.outer;
    Py_DECREF(arguments);
    return result;
}

static PyObject *hooks_here(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyLong_FromLong(here.hooks);
}

/* is_inside(address): whether a handler of that queue, or a hook of one, calls; 0: of any. */
static PyObject *is_inside(PyObject *module, PyObject *address) {
    (void)module;
    void *queue = PyLong_AsVoidPtr(address);
    if (queue == NULL && PyErr_Occurred()) return NULL;
    bb_origin origin = origin_in(queue);
    return PyBool_FromLong(queue != NULL ? origin == BB_INSIDE : origin != BB_OUTSIDE);
}

static PyMethodDef functions[] = {
    {"call_hook", (PyCFunction)(void (*)(void))call_hook, METH_VARARGS | METH_KEYWORDS,
     "call_hook(hooks, function, /, *arguments, **keywords)\n--\n\n"
     "Call a function at a hook depth, which the events that it publishes inherit."},
    {"call_inside", (PyCFunction)(void (*)(void))call_inside, METH_VARARGS | METH_KEYWORDS,
     "call_inside(address, function, /, *arguments, **keywords)\n--\n\n"
     "Call a function as a handler of the queue would."},
    {"hooks_here", hooks_here, METH_NOARGS,
     "hooks_here()\n--\n\nReturn the hook depth of the calling thread."},
    {"is_inside", is_inside, METH_O,
     "is_inside(address, /)\n--\n\n"
     "Return whether the caller is inside a handler of the queue, or with 0 of any."},
    {0},
};

static PyTypeObject *type_named(const char *name) {
    PyObject *types = PyImport_ImportModule("types");
    if (types == NULL) return NULL;
    PyObject *type = PyObject_GetAttrString(types, name);
    Py_DECREF(types);
    return (PyTypeObject *)type;
}

int add_handlers(PyObject *module) {
    find_vector_call();
    generator_type = type_named("GeneratorType");
    async_generator_type = type_named("AsyncGeneratorType");
    if (generator_type == NULL || async_generator_type == NULL) return -1;
    return PyModule_AddFunctions(module, functions);
}
