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
 * recipient together cost less than 10. publish_many of 64 costs 11 ns per event: it looks up a
 * route and counts once for a run of events of the same type, and hands its references over.
 *
 * What does not work, or was tried
 * - `publish` through cffi: no cffi call takes a Python object. The event had to be kept in a dict
 *   under a number, and the call took 215 to 300 ns. A closure instead of a method, list slots
 *   instead of a dict, or one dict entry per type gained up to 70 ns of that.
 * - `Event.__init__` in a mutable class, changed at the end to `Event`: faster on one version of
 *   Python only. Making events in C takes 87 ns instead of 460.
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

/* Events and their routes: a reference to each event, which the queue takes over if it can, and one
 * to the route of each run of events that have the same. */
typedef struct {
    void *events[BATCH];
    const bb_route *routes[BATCH];
    route_object *runs[BATCH];
    int32_t n;
    int32_t runs_count;
} batch;

static inline PyObject *buffers_of(const bb_route *route) {
    return ((const route_object *)((const char *)route - offsetof(route_object, route)))->buffers;
}

/* A new reference; NULL without an exception if there is no such item. */
static inline PyObject *item_of(PyObject *events, bool is_list, Py_ssize_t index) {
#ifdef Py_GIL_DISABLED
    PyObject *event =
        is_list ? PyList_GetItemRef(events, index) : Py_XNewRef(PyTuple_GetItem(events, index));
#else
    PyObject *event =
        Py_XNewRef(is_list ? PyList_GetItem(events, index) : PyTuple_GetItem(events, index));
#endif
    if (event == NULL) PyErr_Clear();
    return event;
}

/* The type by which the route of a plain event is found, borrowed; NULL for other objects. */
static inline PyObject *plain_type(PyObject *event) {
    return Py_TYPE(event) == event_type ? ((event_object *)event)->type : NULL;
}

/* Fill a batch from a list or tuple, from an index on, up to the first event whose route is not
 * cached, or that goes to another queue (after a fork). The list may become shorter any time. */
static void collect(publisher_object *self, PyObject *events, Py_ssize_t from, Py_ssize_t size,
                    int level, batch *b) {
    bool is_list = PyList_CheckExact(events);
    PyObject *run_type = NULL; /* a plain event of this type has the route of the one before */
    route_object *route = NULL;
    for (b->n = b->runs_count = 0; b->n < BATCH && from < size; from++) {
        PyObject *event = item_of(events, is_list, from);
        if (event == NULL) return;
        PyObject *type = plain_type(event);
        if (type == NULL || type != run_type) {
            route = cached_route(self, event, level);
            if (route == NULL || is_slow(route) ||
                (b->n > 0 && route->queue != b->runs[0]->queue)) {
                Py_XDECREF((PyObject *)route);
                Py_DECREF(event);
                return;
            }
            b->runs[b->runs_count++] = route;
            run_type = type;
        }
        b->events[b->n] = event;
        b->routes[b->n++] = &route->route;
    }
}

/* Take the references that the queue is to have; the batch keeps its own only if it puts the event
 * into buffers. */
static void hold_batch(const batch *b) {
    for (int32_t i = 0; i < b->n; i++) {
        hold(b->events[i], b->routes[i]);
        if (buffers_of(b->routes[i]) == NULL) Py_DECREF((PyObject *)b->events[i]);
    }
}

/* Push the events of a batch up to the first that does not fit; returns their number. `status`: -1
 * if handing some of them over has raised. */
static int32_t push_batch(batch *b, int *status) {
    if (b->n == 0) return 0;
    bb_queue *queue = b->runs[0]->queue;
    hold_batch(b);
    int32_t accepted = bb_push_many(queue, b->routes, b->events, b->n, 0, origin_in(queue));
    if (accepted < 0) accepted = 0; /* closed or gone: the slow path will raise */
    for (int32_t i = 0; i < b->n; i++) {
        PyObject *event = b->events[i], *buffers = buffers_of(b->routes[i]);
        if (i >= accepted) release(event, b->routes[i]);
        if (buffers == NULL) continue; /* then `event` may be freed */
        if (i < accepted && put_in_buffers(buffers, event) < 0) *status = -1;
        Py_DECREF(event);
    }
    for (int32_t i = 0; i < b->runs_count; i++) Py_DECREF((PyObject *)b->runs[i]);
    return accepted;
}

/* Publish from a list or tuple, from index `from`, up to the first event that needs the slow path;
 * returns the number published; -1: waking the consumer of a buffer has raised. */
static Py_ssize_t push_events(publisher_object *self, PyObject *events, Py_ssize_t from,
                              int level) {
    if (here.hooks != 0) return 0;
    Py_ssize_t pushed = 0;
    Py_ssize_t size = PyList_CheckExact(events) ? PyList_Size(events) : PyTuple_Size(events);
    batch b;
    int32_t accepted;
    int status = 0;
    do {
        collect(self, events, from + pushed, size, level, &b);
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
