/* cache.c: the routes that a bus has found, and the type that keeps them, the base of `EventBus`.
 *
 * Guarantee: a route that misses a subscription is never found. It is stored only if no
 * subscription was made or ended since its computation began (`version`), which is decided and done
 * in one step, as forgetting is.
 *
 * `plain[level]` has the routes of plain events by type, `classes[level]` those of other objects by
 * the address of their class, which the route keeps alive: the hash of a class may be anybody's
 * code. For subclasses of Event there is a second dict by type behind it.
 */
#include "docs.h"
#include "publisher.h"

PyTypeObject *publisher_type;

#define MOST_ROUTES 4096 /* in one dict */

static PyObject *get_cache_token;

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

route_object *cached_route(publisher_object *self, PyObject *event, int level) {
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
    PyObject *abc = PyImport_ImportModule("abc");
    if (abc == NULL) return -1;
    get_cache_token = PyObject_GetAttrString(abc, "get_cache_token");
    Py_DECREF(abc);
    if (get_cache_token == NULL || init_publishing() < 0) return -1;
    return add_type(module, &spec, &publisher_type);
}
