/* publish.c: the fast path of publishing.
 *
 * A plain event, or an object of a class that was published before, whose route is cached, that
 * finds free slots and is published outside of hooks: one look-up, one call to the queue. All other
 * cases go to a Python method, `_publish`, which starts from the beginning.
 *
 * Guarantees
 * - It holds no Python lock, so it may be called from a signal handler or a finalizer.
 * - It either publishes the event or has no effect.
 *
 * Of 53 ns per call, half is the call itself; histograms and the counts by type, by level and by
 * recipient together cost less than 10.
 *
 * What does not work, or was tried
 * - `publish` through cffi: no cffi call takes a Python object. The event had to be kept in a dict
 *   under a number, and the call took 215 to 300 ns. A closure instead of a method, list slots
 *   instead of a dict, or one dict entry per type gained up to 70 ns of that.
 * - publish_many: reusing the route of the previous event if the type is the same, without a
 *   look-up: 25 ns per event instead of 26, and one more rule.
 * - `Event.__init__` in a mutable class, changed at the end to `Event`: faster on one version of
 *   Python only. Making events in C takes 92 ns instead of 460.
 */
#include "publisher.h"

#define BATCH 128 /* events per call to the queue: some 5 us with its mutex held, 3 KB of stack */

static PyObject *name_publish, *name_publish_rest, *name_priority;

int init_publishing(void) {
    name_publish = PyUnicode_InternFromString("_publish");
    name_publish_rest = PyUnicode_InternFromString("_publish_rest");
    name_priority = PyUnicode_InternFromString("priority");
    return name_publish != NULL && name_publish_rest != NULL && name_priority != NULL ? 0 : -1;
}

/* ---- publish ----------------------------------------------------------------------------- */

/* The level of `publish(event, priority=n)`; 0 without a priority, -1 without an exception for all
 * other arguments. */
static int level_of(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    if (nargs != 1) return -1;
    if (kwnames == NULL) return 0;
    if (PyTuple_Size(kwnames) != 1) return -1;
    PyObject *name = PyTuple_GetItem(kwnames, 0);
    if (name != name_priority && PyUnicode_Compare(name, name_priority) != 0) return -1;
    if (!PyLong_CheckExact(args[1])) return -1;
    long level = PyLong_AsLong(args[1]);
    if (level == -1 && PyErr_Occurred()) PyErr_Clear();
    return level >= 1 && level <= BB_LEVELS ? (int)level : -1;
}

/* self.name(*args, **kwargs) */
static PyObject *call_slow(PyObject *self, PyObject *name, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames) {
    PyObject *method = PyObject_GetAttr(self, name), *result = NULL;
    PyObject *positional = PyTuple_New(nargs), *keywords = NULL;
    if (kwnames != NULL) keywords = PyDict_New();
    if (method != NULL && positional != NULL && (kwnames == NULL || keywords != NULL)) {
        int status = 0;
        for (Py_ssize_t i = 0; i < nargs; i++) PyTuple_SetItem(positional, i, Py_NewRef(args[i]));
        for (Py_ssize_t i = 0; kwnames != NULL && i < PyTuple_Size(kwnames); i++)
            if (PyDict_SetItem(keywords, PyTuple_GetItem(kwnames, i), args[nargs + i]) < 0)
                status = -1;
        if (status == 0) result = PyObject_Call(method, positional, keywords);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(positional);
    Py_XDECREF(method);
    return result;
}

/* Whether its events need more than to be pushed, and put into the buffers of streams. */
static inline bool is_slow(const route_object *route) {
    return route->plan != NULL && route->buffers == NULL;
}

PyObject *publish(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    int level = level_of(args, nargs, kwnames);
    if (level >= 0 && here.hooks == 0) {
        route_object *route = cached_route((publisher_object *)op, args[0], level);
        if (route != NULL && is_slow(route)) {
            Py_DECREF((PyObject *)route);
        } else if (route != NULL) {
            hold(args[0], &route->route);
            bb_result result =
                bb_push(route->queue, &route->route, args[0], 0, origin_in(route->queue));
            int status = 0;
            if (result != BB_ACCEPTED) release(args[0], &route->route);
            else if (route->buffers != NULL) status = put_in_buffers(route->buffers, args[0]);
            Py_DECREF((PyObject *)route);
            if (status < 0) return NULL;
            if (result == BB_ACCEPTED) return Py_NewRef(Py_True);
        }
    }
    return call_slow(op, name_publish, args, nargs, kwnames);
}

/* ---- publish_many ------------------------------------------------------------------------ */

/* Events and their routes, with a reference to each. */
typedef struct {
    void *events[BATCH];
    const bb_route *routes[BATCH];
    route_object *owners[BATCH];
    int32_t n;
} batch;

/* Fill a batch from a list or tuple, up to the first event whose route is not cached, or that goes
 * to another queue (after a fork). Lengths are re-read each time: the list may change. */
static void collect(publisher_object *self, PyObject *events, Py_ssize_t from, int level,
                    batch *b) {
    int is_list = PyList_CheckExact(events);
    b->n = 0;
    while (b->n < BATCH && from < (is_list ? PyList_Size(events) : PyTuple_Size(events))) {
#ifdef Py_GIL_DISABLED
        PyObject *event =
            is_list ? PyList_GetItemRef(events, from) : Py_XNewRef(PyTuple_GetItem(events, from));
#else
        PyObject *event =
            Py_XNewRef(is_list ? PyList_GetItem(events, from) : PyTuple_GetItem(events, from));
#endif
        if (event == NULL) {
            PyErr_Clear();
            return;
        }
        route_object *route = cached_route(self, event, level);
        if (route == NULL || is_slow(route) || (b->n > 0 && route->queue != b->owners[0]->queue)) {
            Py_XDECREF((PyObject *)route);
            Py_DECREF(event);
            return;
        }
        b->events[b->n] = event;
        b->owners[b->n] = route;
        b->routes[b->n++] = &route->route;
        from++;
    }
}

/* Push the events of a batch up to the first that does not fit; returns their number. `status`: -1
 * if handing some of them over has raised. */
static int32_t push_batch(batch *b, int *status) {
    if (b->n == 0) return 0;
    bb_queue *queue = b->owners[0]->queue;
    for (int32_t i = 0; i < b->n; i++) hold(b->events[i], b->routes[i]);
    int32_t accepted = bb_push_many(queue, b->routes, b->events, b->n, 0, origin_in(queue));
    if (accepted < 0) accepted = 0; /* closed or gone: the slow path will raise */
    for (int32_t i = accepted; i < b->n; i++) release(b->events[i], b->routes[i]);
    for (int32_t i = 0; i < accepted; i++)
        if (b->owners[i]->buffers != NULL &&
            put_in_buffers(b->owners[i]->buffers, b->events[i]) < 0)
            *status = -1;
    for (int32_t i = 0; i < b->n; i++) {
        Py_DECREF((PyObject *)b->events[i]);
        Py_DECREF((PyObject *)b->owners[i]);
    }
    return accepted;
}

/* Publish from a list or tuple, from index `from`, up to the first event that needs the slow path;
 * returns the number published; -1: waking the consumer of a buffer has raised. */
static Py_ssize_t push_events(publisher_object *self, PyObject *events, Py_ssize_t from,
                              int level) {
    if (here.hooks != 0) return 0;
    Py_ssize_t pushed = 0;
    batch b;
    int32_t accepted;
    int status = 0;
    do {
        collect(self, events, from + pushed, level, &b);
        accepted = push_batch(&b, &status);
        pushed += accepted;
    } while (accepted == BATCH && status == 0);
    return status == 0 ? pushed : -1;
}

/* _push_events(events, from, level): the same for Python. */
PyObject *push_events_method(PyObject *op, PyObject *args) {
    PyObject *events;
    Py_ssize_t from;
    int level;
    if (!PyArg_ParseTuple(args, "O!ni:_push_events", &PyList_Type, &events, &from, &level))
        return NULL;
    if (level < 0 || level > BB_LEVELS || from < 0) {
        PyErr_SetString(PyExc_ValueError, "_push_events: no such level or index");
        return NULL;
    }
    Py_ssize_t pushed = push_events((publisher_object *)op, events, from, level);
    return pushed >= 0 ? PyLong_FromSsize_t(pushed) : NULL;
}

PyObject *publish_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    int level = level_of(args, nargs, kwnames);
    if (level < 0 || !(PyList_CheckExact(args[0]) || PyTuple_CheckExact(args[0])))
        return call_slow(op, name_publish_rest, args, nargs, kwnames);
    PyObject *events = args[0];
    Py_ssize_t pushed = push_events((publisher_object *)op, events, 0, level);
    if (pushed < 0) return NULL;
    Py_ssize_t size = PyList_CheckExact(events) ? PyList_Size(events) : PyTuple_Size(events);
    if (pushed >= size && pushed > 0) return PyLong_FromSsize_t(pushed);
    PyObject *rest = PySequence_GetSlice(events, pushed, size);
    if (rest == NULL) return NULL;
    PyObject *method = PyObject_GetAttr(op, name_publish_rest), *result = NULL;
    if (method != NULL)
        result =
            PyObject_CallFunction(method, "OOOn", rest, level ? args[1] : Py_None, Py_None, pushed);
    Py_XDECREF(method);
    Py_DECREF(rest);
    return result;
}
