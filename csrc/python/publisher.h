/* publisher.h: the base of `EventBus`, shared by its cache of routes and its publishing. */
#ifndef BB_PUBLISHER_H
#define BB_PUBLISHER_H

#include "native.h"

/* Routes by explicit priority, [0] without; see cache.c. */
typedef struct {
    PyObject_HEAD
    PyObject *plain[BB_LEVELS + 1];
    PyObject *classes[BB_LEVELS + 1];
    PyObject *abc_token; /* NULL: no subscription depends on the registrations of ABCs */
    unsigned long long version;
} publisher_object;

/* The cached route of an event, a new reference; NULL without an exception if there is none. */
route_object *cached_route(publisher_object *self, PyObject *event, int level);

int init_publishing(void);
PyObject *publish(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *publish_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *push_events_method(PyObject *op, PyObject *args);

#endif
