/* cache.c: the cached routes of a bus, and the type that holds them, the base of `EventBus`.
 *
 * Guarantees
 * - A route that misses a subscription is never found: a route is stored only if no subscription
 *   was made or cancelled since its computation began (`version`), checked and stored in one step;
 *   and after a change of the version, what was stored before is removed.
 * - A look-up calls no `__hash__` or `__eq__` of the user: keys are exact strings, or the address
 *   of a class.
 * - A program that creates types without end pays a look-up for each, not memory without end.
 *
 * `plain[level]` holds the routes of plain events by type; `classes[level]` those of other objects
 * by the address of their class, which the route keeps alive. For subclasses of Event the latter
 * holds a second dict, by type.
 *
 * What does not work, or was tried
 * - The class itself as the key: its hash may be defined by the user.
 * - Replacing the dicts instead of emptying them: other threads may be reading them.
 * - Allocating while storing: an allocation may run a collection, and with it code of the user,
 *   which may change subscriptions between the check and the step. All that is needed is allocated
 *   before.
 */
#include "docs.h"
#include "publisher.h"

PyTypeObject *publisher_type;

#define MAX_ROUTES 4096 /* per dict */

static PyObject *get_cache_token;

static void forget_all(publisher_object *self) {
    for (int level = 0; level <= BB_LEVELS; level++) {
        if (self->plain[level] != NULL) PyDict_Clear(self->plain[level]);
        if (self->classes[level] != NULL) PyDict_Clear(self->classes[level]);
    }
}

static void next_version(publisher_object *self) {
    LOCK_TABLES
    self->version++;
    UNLOCK_TABLES
}

/* The token as of which all cached routes are; a new reference. */
static PyObject *known_token(publisher_object *self) {
    PyObject *known;
    BEGIN_CRITICAL(self)
    known = Py_NewRef(self->abc_token);
    END_CRITICAL
    return known;
}

static void set_token(publisher_object *self, PyObject *token) {
    PyObject *before;
    BEGIN_CRITICAL(self)
    before = self->abc_token;
    self->abc_token = Py_NewRef(token);
    END_CRITICAL
    Py_DECREF(before);
}

/* Empty the cache if an ABC has registered a class since it was filled; returns 1 if it did, or if
 * that could not be determined, else 0. The token is set last: a thread that finds the new one does
 * not ask further. */
static int flush_if_abcs_changed(publisher_object *self) {
    PyObject *token = PyObject_CallFunctionObjArgs(get_cache_token, NULL);
    if (token == NULL) { /* no memory: use no cached route this time */
        PyErr_Clear();
        return 1;
    }
    PyObject *known = known_token(self);
    int same = PyObject_RichCompareBool(token, known, Py_EQ);
    Py_DECREF(known);
    if (same != 1) {
        PyErr_Clear();
        next_version(self);
        forget_all(self);
        set_token(self, token);
    }
    Py_DECREF(token);
    return same != 1;
}

/* A new reference to dict[key]; NULL without an exception if there is none. */
static PyObject *look_up(PyObject *dict, PyObject *key) {
    PyObject *found;
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
    if (PyDict_Size(self->classes[level]) == 0) return NULL;
    PyObject *key = PyLong_FromVoidPtr(Py_TYPE(event));
    if (key == NULL) {
        PyErr_Clear();
        return NULL;
    }
    PyObject *found = look_up(self->classes[level], key);
    Py_DECREF(key);
    if (found == NULL || !PyDict_Check(found)) return found;
    PyObject *type = NULL, *route = NULL;
    if (PyObject_TypeCheck(event, event_type)) type = ((event_object *)event)->type;
    if (type != NULL) route = look_up(found, type);
    Py_DECREF(found);
    return route;
}

route_object *cached_route(publisher_object *self, PyObject *event, int level) {
    PyObject *found;
    if (self->abc_token != NULL && flush_if_abcs_changed(self)) return NULL;
    if (Py_TYPE(event) == event_type) {
        PyObject *type = ((event_object *)event)->type;
        found = type != NULL ? look_up(self->plain[level], type) : NULL;
    } else {
        found = look_up_by_class(self, event, level);
    }
    if (found != NULL && Py_TYPE(found) != route_type) Py_CLEAR(found);
    return (route_object *)found;
}

static void trim(PyObject *dict) {
    if (PyDict_Size(dict) >= MAX_ROUTES) PyDict_Clear(dict);
}

/* The dict by type of a class, whose address is `key`: a new reference. */
static PyObject *dict_of_class(PyObject *classes, PyObject *key) {
    PyObject *found = look_up(classes, key), *fresh = NULL;
    if (found != NULL || (fresh = PyDict_New()) == NULL) return found;
    trim(classes);
    LOCK_TABLES
    found = look_up(classes, key);
    if (found == NULL && PyDict_SetItem(classes, key, fresh) == 0) found = Py_NewRef(fresh);
    UNLOCK_TABLES
    Py_DECREF(fresh);
    return found;
}

/* Set dict[key] to a route if the version is current. Returns 1, 0 if it is not, or -1. */
static int store_if_current(publisher_object *self, unsigned long long version, PyObject *dict,
                            PyObject *key, PyObject *route) {
    PyObject *old = NULL; /* freeing it may run code of the user */
    int stored = 0;
    trim(dict);
    LOCK_TABLES
    if (version == self->version) {
        old = look_up(dict, key);
        stored = PyDict_SetItem(dict, key, route) == 0 ? 1 : -1;
    }
    UNLOCK_TABLES
    Py_XDECREF(old);
    return stored;
}

/* _store_route(version, level, cls, type, route) -> whether it was stored. `type` is None for
 * objects that are no events, `cls` is Event for plain events. */
static PyObject *store_route(PyObject *op, PyObject *args) {
    publisher_object *self = (publisher_object *)op;
    unsigned long long version;
    int level, stored = -1;
    PyObject *cls, *type, *route;
    if (!PyArg_ParseTuple(args, "KiOOO!:_store_route", &version, &level, &cls, &type, route_type,
                          &route))
        return NULL;
    int is_event = type != Py_None;
    if (level < 0 || level > BB_LEVELS || (is_event && !PyUnicode_CheckExact(type))) {
        PyErr_SetString(PyExc_ValueError, "_store_route: no such level, or type");
        return NULL;
    }
    PyObject *plain = self->plain[level], *classes = self->classes[level];
    if ((PyTypeObject *)cls == event_type) {
        stored = store_if_current(self, version, plain, type, route);
    } else {
        PyObject *key = PyLong_FromVoidPtr(cls), *dict = NULL;
        if (key != NULL) dict = is_event ? dict_of_class(classes, key) : Py_NewRef(classes);
        if (dict != NULL)
            stored = store_if_current(self, version, dict, is_event ? type : key, route);
        Py_XDECREF(dict);
        Py_XDECREF(key);
    }
    return stored >= 0 ? PyBool_FromLong(stored) : NULL;
}

static void forget_item(PyObject *dict, PyObject *key) {
    PyObject *found = look_up(dict, key);
    if (found != NULL && PyDict_DelItem(dict, key) < 0) PyErr_Clear();
    Py_XDECREF(found);
}

/* _forget_routes(type): those of events of a type; None: all. Routes stored after the version has
 * changed are current; forgetting some of them, too, is harmless. */
static PyObject *forget_routes(PyObject *op, PyObject *type) {
    publisher_object *self = (publisher_object *)op;
    next_version(self);
    if (type == Py_None) {
        forget_all(self);
        return Py_NewRef(Py_None);
    }
    for (int level = 0; level <= BB_LEVELS; level++) {
        forget_item(self->plain[level], type);
        if (PyDict_Size(self->classes[level]) == 0) continue;
        PyObject *values = PyDict_Values(self->classes[level]); /* finalizers may change the dict */
        if (values == NULL) return NULL;
        for (Py_ssize_t i = 0; i < PyList_Size(values); i++) {
            PyObject *dict = PyList_GetItem(values, i);
            if (PyDict_Check(dict)) forget_item(dict, type);
        }
        Py_DECREF(values);
    }
    return Py_NewRef(Py_None);
}

/* _cached_route(event, level): or None. */
static PyObject *cached_route_method(PyObject *op, PyObject *args) {
    PyObject *event;
    int level;
    if (!PyArg_ParseTuple(args, "Oi:_cached_route", &event, &level)) return NULL;
    if (level < 0 || level > BB_LEVELS) return Py_NewRef(Py_None);
    route_object *route = cached_route((publisher_object *)op, event, level);
    return route != NULL ? (PyObject *)route : Py_NewRef(Py_None);
}

/* _watch_abcs(): from now on, routes depend on the registrations of abstract base classes. */
static PyObject *watch_abcs(PyObject *op, PyObject *unused) {
    (void)unused;
    publisher_object *self = (publisher_object *)op;
    PyObject *token = PyObject_CallFunctionObjArgs(get_cache_token, NULL), *surplus = token;
    if (token == NULL) return NULL;
    BEGIN_CRITICAL(op)
    if (self->abc_token == NULL) {
        self->abc_token = token;
        surplus = NULL;
    }
    END_CRITICAL
    Py_XDECREF(surplus);
    return Py_NewRef(Py_None);
}

/* ---- the type ---------------------------------------------------------------------------- */

static PyObject *publisher_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs; /* they are for __init__ */
    PyObject *op = PyType_GenericNew(type, NULL, NULL);
    publisher_object *self = (publisher_object *)op;
    for (int level = 0; op != NULL && level <= BB_LEVELS; level++) {
        self->plain[level] = PyDict_New();
        self->classes[level] = PyDict_New();
        if (self->plain[level] == NULL || self->classes[level] == NULL) Py_CLEAR(op);
    }
    return op;
}

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
    publisher_object *self = (publisher_object *)op;
    for (int level = 0; level <= BB_LEVELS; level++) {
        Py_CLEAR(self->plain[level]);
        Py_CLEAR(self->classes[level]);
    }
    Py_CLEAR(self->abc_token);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(op);
    Py_DECREF(type);
}

static PyMemberDef members[] = {
    {"_version", T_ULONGLONG, offsetof(publisher_object, version), READONLY,
     "Changes with each subscription that is made or cancelled."},
    {0},
};

#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS

static PyMethodDef methods[] = {
    {"publish", FAST(publish), PUBLISH_DOC},
    {"publish_many", FAST(publish_many), PUBLISH_MANY_DOC},
    {"_push_events", push_events_method, METH_VARARGS,
     "_push_events($self, events, start, level, /)\n--\n\nPublish up to the first slow one."},
    {"_cached_route", cached_route_method, METH_VARARGS,
     "_cached_route($self, event, level, /)\n--\n\nReturn the cached route of an event, or None."},
    {"_store_route", store_route, METH_VARARGS,
     "_store_route($self, version, level, cls, type, route, /)\n--\n\nCache a route."},
    {"_forget_routes", forget_routes, METH_O,
     "_forget_routes($self, type, /)\n--\n\nForget the routes of events of a type; None: all."},
    {"_watch_abcs", watch_abcs, METH_NOARGS,
     "_watch_abcs($self)\n--\n\nForget all routes when an abstract base class registers a class."},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The publishing side of a bus."},
    {Py_tp_new, publisher_new},
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
