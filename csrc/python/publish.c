/* publish.c: the fast way of an event, and nothing else.
 *
 * A plain event, or an object of a class that was published before, whose route is cached, for
 * which there is room, published outside of hooks: one look-up, one call to the queue. Whatever
 * else there is goes to one Python method, `_publish`, which begins anew.
 *
 * The cache. `routes[level]` has what is published with that explicit priority, [0] without one:
 * for plain events by type, for other objects by the address of their class (which the route keeps
 * alive), since the class's own hash may be anybody's code; for subclasses of Event, a second dict
 * by type behind it. A route is stored only if no subscription was made or ended since its
 * computation began (`version`), which is decided and done in one step, as forgetting is: a route
 * that misses a subscription is never found.
 */
#include "native.h"

#include "docs.h"

PyTypeObject *publisher_type;

#define BATCH 128 /* events of one call to the queue: it holds the mutex for some 5 us; 2 KB of stack */

#define MOST_ROUTES 4096

typedef struct {
    PyObject_HEAD
    PyObject *plain[BB_LEVELS + 1];
    PyObject *classes[BB_LEVELS + 1];
    PyObject *abc_token; /* NULL: no subscription depends on what ABCs adopt */
    unsigned long long version;
} publisher_object;

static PyObject *name_publish, *name_publish_rest, *name_priority, *get_cache_token;

/* ---- the cache --------------------------------------------------------------------------- */

static void forget_all(publisher_object *self) {
    for (int level = 0; level <= BB_LEVELS; level++) {
        PyObject *plain = self->plain[level], *classes = self->classes[level];
        self->plain[level] = self->classes[level] = NULL;
        Py_XDECREF(plain);
        Py_XDECREF(classes);
    }
}

/* Whether the ABCs have adopted a class since the cache was filled; then it is emptied. */
static int has_adopted(publisher_object *self) {
    PyObject *token = PyObject_CallFunctionObjArgs(get_cache_token, NULL);
    int same = token != NULL ? PyObject_RichCompareBool(token, self->abc_token, Py_EQ) : -1;
    if (same != 1) {
        PyErr_Clear();
        PyObject *old = self->abc_token;
        self->abc_token = token;
        self->version++;
        Py_XDECREF(old);
        forget_all(self);
        return 1;
    }
    Py_DECREF(token);
    return 0;
}

/* A new reference to dict[key]; NULL without an exception: none. */
static PyObject *look_up(PyObject *dict, PyObject *key) {
    PyObject *found;
    if (dict == NULL) return NULL;
#ifdef Py_GIL_DISABLED
    if (PyDict_GetItemRef(dict, key, &found) < 0) PyErr_Clear();
    return found;
#else
    found = PyDict_GetItemWithError(dict, key);
    if (found == NULL) {
        if (PyErr_Occurred()) PyErr_Clear();
        return NULL;
    }
    return Py_NewRef(found);
#endif
}

static PyObject *look_up_by_class(publisher_object *self, PyObject *event, int level) {
    if (self->classes[level] == NULL) return NULL;
    PyObject *key = PyLong_FromVoidPtr(Py_TYPE(event));
    if (key == NULL) {
        PyErr_Clear();
        return NULL;
    }
    PyObject *found = look_up(self->classes[level], key);
    Py_DECREF(key);
    if (found == NULL || !PyDict_Check(found)) return found;
    PyObject *type = ((event_object *)event)->type, *route = NULL;
    if (PyObject_TypeCheck(event, event_type) && type != NULL) route = look_up(found, type);
    Py_DECREF(found);
    return route;
}

/* The cached route of an event, a new reference; NULL, without an exception: none. */
static route_object *cached_route(publisher_object *self, PyObject *event, int level) {
    PyObject *found;
    if (self->abc_token != NULL && has_adopted(self)) return NULL;
    if (Py_TYPE(event) == event_type) {
        PyObject *type = ((event_object *)event)->type;
        found = type != NULL ? look_up(self->plain[level], type) : NULL;
    } else {
        found = look_up_by_class(self, event, level);
    }
    if (found != NULL && Py_TYPE(found) != route_type) Py_CLEAR(found);
    return (route_object *)found;
}

/* Room for one more: a program that invents types without end pays a look-up for each, not memory.
 */
static int make_space(PyObject **cache) {
    if (*cache != NULL && PyDict_Size(*cache) >= MOST_ROUTES) Py_CLEAR(*cache);
    return *cache != NULL || (*cache = PyDict_New()) != NULL ? 0 : -1;
}

/* _store_route(version, level, cls, type, route): whether it was stored. `type` is None for what is
 * no event, `cls` is Event for plain events. */
static PyObject *store_route(PyObject *op, PyObject *args) {
    publisher_object *self = (publisher_object *)op;
    unsigned long long version;
    int level;
    PyObject *cls, *type, *route;
    if (!PyArg_ParseTuple(args, "KiOOO!:_store_route", &version, &level, &cls, &type, route_type, &route))
        return NULL;
    if (level < 0 || level > BB_LEVELS || (type != Py_None && !PyUnicode_CheckExact(type))) {
        PyErr_SetString(PyExc_ValueError, "_store_route: no such level, or type");
        return NULL;
    }
    if (version != self->version) Py_RETURN_FALSE;
    int is_plain = (PyTypeObject *)cls == event_type;
    PyObject **cache = is_plain ? &self->plain[level] : &self->classes[level];
    if (make_space(cache) < 0) return NULL;
    if (is_plain) {
        if (PyDict_SetItem(*cache, type, route) < 0) return NULL;
        Py_RETURN_TRUE;
    }
    PyObject *key = PyLong_FromVoidPtr(cls);
    if (key == NULL) return NULL;
    int status;
    if (type == Py_None) {
        status = PyDict_SetItem(*cache, key, route);
    } else {
        PyObject *inner = look_up(*cache, key);
        if (inner != NULL && PyDict_Size(inner) >= MOST_ROUTES) Py_CLEAR(inner);
        if (inner == NULL && (inner = PyDict_New()) != NULL && PyDict_SetItem(*cache, key, inner) < 0)
            Py_CLEAR(inner);
        status = inner != NULL ? PyDict_SetItem(inner, type, route) : -1;
        Py_XDECREF(inner);
    }
    Py_DECREF(key);
    if (status < 0) return NULL;
    Py_RETURN_TRUE;
}

static void forget_item(PyObject *dict, PyObject *key) {
    PyObject *found = look_up(dict, key);
    if (found != NULL && PyDict_DelItem(dict, key) < 0) PyErr_Clear();
    Py_XDECREF(found);
}

/* _forget_routes(type): those of events of a type; None: all. */
static PyObject *forget_routes(PyObject *op, PyObject *type) {
    publisher_object *self = (publisher_object *)op;
    self->version++;
    if (type == Py_None) {
        forget_all(self);
        Py_RETURN_NONE;
    }
    for (int level = 0; level <= BB_LEVELS; level++) {
        PyObject *key, *inner;
        Py_ssize_t at = 0;
        forget_item(self->plain[level], type);
        while (self->classes[level] != NULL && PyDict_Next(self->classes[level], &at, &key, &inner))
            if (PyDict_Check(inner)) forget_item(inner, type);
    }
    Py_RETURN_NONE;
}

/* _cached_route(event, level): or None. */
static PyObject *cached_route_method(PyObject *op, PyObject *args) {
    PyObject *event;
    int level;
    if (!PyArg_ParseTuple(args, "Oi:_cached_route", &event, &level)) return NULL;
    if (level < 0 || level > BB_LEVELS) Py_RETURN_NONE;
    route_object *route = cached_route((publisher_object *)op, event, level);
    return route != NULL ? (PyObject *)route : Py_NewRef(Py_None);
}

/* _watch_abcs(): from now on, routes depend on what abstract base classes adopt. */
static PyObject *watch_abcs(PyObject *op, PyObject *unused) {
    (void)unused;
    publisher_object *self = (publisher_object *)op;
    if (self->abc_token == NULL) {
        self->abc_token = PyObject_CallFunctionObjArgs(get_cache_token, NULL);
        if (self->abc_token == NULL) return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- publish ----------------------------------------------------------------------------- */

/* The level of `publish(event, priority=n)`; 0 without one, -1: anything else. */
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
            if (PyDict_SetItem(keywords, PyTuple_GetItem(kwnames, i), args[nargs + i]) < 0) status = -1;
        if (status == 0) result = PyObject_Call(method, positional, keywords);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(positional);
    Py_XDECREF(method);
    return result;
}

static PyObject *publish(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    int level = level_of(args, nargs, kwnames);
    if (level >= 0 && here.hooks == 0) {
        route_object *route = cached_route((publisher_object *)op, args[0], level);
        if (route != NULL) {
            hold(args[0], &route->route);
            bb_result result =
                bb_push(route->queue, &route->route, args[0], 0, origin_in(route->queue));
            if (result != BB_ACCEPTED) release(args[0], &route->route);
            Py_DECREF((PyObject *)route);
            if (result == BB_ACCEPTED) Py_RETURN_TRUE;
        }
    }
    return call_slow(op, name_publish, args, nargs, kwnames);
}

/* ---- many -------------------------------------------------------------------------------- */

/* Events and their routes, with a reference to each. */
typedef struct {
    void *events[BATCH];
    const bb_route *routes[BATCH];
    route_object *owners[BATCH];
    int32_t n;
} batch;

/* Fill a batch from list or tuple, up to the first event whose route is not cached, or that goes
 * into another queue (a fork). Lengths are read anew each time: the list may change. */
static void collect(publisher_object *self, PyObject *events, Py_ssize_t from, int level, batch *b) {
    int is_list = PyList_CheckExact(events);
    b->n = 0;
    while (b->n < BATCH && from < (is_list ? PyList_Size(events) : PyTuple_Size(events))) {
#ifdef Py_GIL_DISABLED
        PyObject *event = is_list ? PyList_GetItemRef(events, from)
                                  : Py_XNewRef(PyTuple_GetItem(events, from));
#else
        PyObject *event =
            Py_XNewRef(is_list ? PyList_GetItem(events, from) : PyTuple_GetItem(events, from));
#endif
        if (event == NULL) {
            PyErr_Clear();
            return;
        }
        route_object *route = cached_route(self, event, level);
        if (route == NULL || (b->n > 0 && route->queue != b->owners[0]->queue)) {
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

/* Push as many as there is room for, from the front; how many. */
static int32_t push_batch(batch *b) {
    if (b->n == 0) return 0;
    bb_queue *queue = b->owners[0]->queue;
    for (int32_t i = 0; i < b->n; i++) hold(b->events[i], b->routes[i]);
    int32_t accepted = bb_push_many(queue, b->routes, b->events, b->n, 0, origin_in(queue));
    if (accepted < 0) accepted = 0; /* closed or gone: the slow way will tell */
    for (int32_t i = accepted; i < b->n; i++) release(b->events[i], b->routes[i]);
    for (int32_t i = 0; i < b->n; i++) {
        Py_DECREF((PyObject *)b->events[i]);
        Py_DECREF((PyObject *)b->owners[i]);
    }
    return accepted;
}

/* Publish from list or tuple, from `from` on, up to the first that needs the slow way; how many. */
static Py_ssize_t push_events(publisher_object *self, PyObject *events, Py_ssize_t from, int level) {
    if (here.hooks != 0) return 0;
    Py_ssize_t pushed = 0;
    batch b;
    int32_t accepted;
    do {
        collect(self, events, from + pushed, level, &b);
        accepted = push_batch(&b);
        pushed += accepted;
    } while (accepted == BATCH);
    return pushed;
}

/* _push_events(events, from, level): the same for Python. */
static PyObject *push_events_method(PyObject *op, PyObject *args) {
    PyObject *events;
    Py_ssize_t from;
    int level;
    if (!PyArg_ParseTuple(args, "O!ni:_push_events", &PyList_Type, &events, &from, &level)) return NULL;
    if (level < 0 || level > BB_LEVELS || from < 0) {
        PyErr_SetString(PyExc_ValueError, "_push_events: no such level or place");
        return NULL;
    }
    return PyLong_FromSsize_t(push_events((publisher_object *)op, events, from, level));
}

static PyObject *publish_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames) {
    int level = level_of(args, nargs, kwnames);
    if (level < 0 || !(PyList_CheckExact(args[0]) || PyTuple_CheckExact(args[0])))
        return call_slow(op, name_publish_rest, args, nargs, kwnames);
    PyObject *events = args[0];
    Py_ssize_t pushed = push_events((publisher_object *)op, events, 0, level);
    Py_ssize_t size = PyList_CheckExact(events) ? PyList_Size(events) : PyTuple_Size(events);
    if (pushed >= size && pushed > 0) return PyLong_FromSsize_t(pushed);
    PyObject *rest = PySequence_GetSlice(events, pushed, size);
    if (rest == NULL) return NULL;
    PyObject *method = PyObject_GetAttr(op, name_publish_rest), *result = NULL;
    if (method != NULL)
        result = PyObject_CallFunction(method, "OOOn", rest, level ? args[1] : Py_None, Py_None, pushed);
    Py_XDECREF(method);
    Py_DECREF(rest);
    return result;
}

/* ---- the type ---------------------------------------------------------------------------- */

static int publisher_traverse(PyObject *op, visitproc visit, void *arg) {
    publisher_object *self = (publisher_object *)op;
    Py_VISIT(Py_TYPE(op));
    for (int level = 0; level <= BB_LEVELS; level++) {
        Py_VISIT(self->plain[level]);
        Py_VISIT(self->classes[level]);
    }
    return 0;
}

static int publisher_clear(PyObject *op) {
    forget_all((publisher_object *)op);
    return 0;
}

static void publisher_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    forget_all((publisher_object *)op);
    Py_CLEAR(((publisher_object *)op)->abc_token);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyMemberDef members[] = {
    {"_version", T_ULONGLONG, offsetof(publisher_object, version), READONLY,
     "Changes with each subscription that is made or ends."},
    {0},
};

#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS

static PyMethodDef methods[] = {
    {"publish", FAST(publish), PUBLISH_DOC},
    {"publish_many", FAST(publish_many), PUBLISH_MANY_DOC},
    {"_push_events", push_events_method, METH_VARARGS,
     "_push_events($self, events, start, level, /)\n--\n\nPublish up to the first with a slow way."},
    {"_cached_route", cached_route_method, METH_VARARGS,
     "_cached_route($self, event, level, /)\n--\n\nReturn the cached route of an event, or None."},
    {"_store_route", store_route, METH_VARARGS,
     "_store_route($self, version, level, cls, type, route, /)\n--\n\nCache a route."},
    {"_forget_routes", forget_routes, METH_O,
     "_forget_routes($self, type, /)\n--\n\nForget the routes of events of a type; None: all."},
    {"_watch_abcs", watch_abcs, METH_NOARGS,
     "_watch_abcs($self)\n--\n\nForget all routes when an abstract base class adopts a class."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The publishing side of a bus."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_traverse, publisher_traverse},
    {Py_tp_clear, publisher_clear},
    {Py_tp_dealloc, publisher_dealloc},
    {Py_tp_members, members},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "brummerbus._core._ext.Publisher",
    .basicsize = sizeof(publisher_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int add_publisher(PyObject *module) {
    name_publish = PyUnicode_InternFromString("_publish");
    name_publish_rest = PyUnicode_InternFromString("_publish_rest");
    name_priority = PyUnicode_InternFromString("priority");
    PyObject *abc = PyImport_ImportModule("abc");
    if (abc == NULL || name_publish == NULL || name_publish_rest == NULL || name_priority == NULL)
        return -1;
    get_cache_token = PyObject_GetAttrString(abc, "get_cache_token");
    Py_DECREF(abc);
    return get_cache_token != NULL ? add_type(module, &spec, &publisher_type) : -1;
}
