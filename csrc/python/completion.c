/* completion.c: the end of deliveries of events that have a completion hook.
 *
 * Guarantees
 * - Each delivery ends once, as handled, failed or dropped (`end_delivery`), and the thread that
 *   ends the last one calls the hook, outside every lock and after the delivery was counted.
 * - Neither a lack of memory nor an exception that another thread throws in comes between. */
#include "native.h"

/* Append (recipient, why) to a list. If there is no memory, it is missing there. */
static void note(PyObject *list, PyObject *recipient, PyObject *why) {
    int status = -1;
    for (int tries = 0; status < 0 && tries < MEMORY_TRIES; tries++) {
        PyObject *pair = PyTuple_Pack(2, recipient, why);
        if (pair != NULL) status = PyList_Append(list, pair);
        if (status < 0) PyErr_Clear();
        Py_XDECREF(pair);
    }
}

/* What the hook is called with. An exception that strikes concurrently is put off: `struck`. */
static PyObject *new_outcome(ticket_object *self, PyObject **struck) {
    PyObject *outcome = NULL;
    for (int tries = 0; outcome == NULL && tries < MEMORY_TRIES; tries++) {
        outcome = PyObject_CallMethod(self->hooks, "outcome", "OnOO", self->event, self->handled,
                                      self->failed, self->dropped);
        if (outcome != NULL) break;
        Py_XDECREF(*struck);
        *struck = fetch_exception();
    }
    if (outcome != NULL && *struck != NULL && PyObject_IsInstance(*struck, PyExc_MemoryError) > 0)
        Py_CLEAR(*struck);
    return outcome;
}

static void log_raised(ticket_object *self, PyObject *error) {
    PyObject *result = PyObject_CallMethod(self->hooks, "log_raised", "Oi", error, here.hooks + 1);
    if (result == NULL) PyErr_Clear();
    Py_XDECREF(result);
}

/* From C, so that neither a lack of memory nor an exception of another thread comes between. What
 * the hook raises is logged, but for what is no Exception in a publisher. */
static int call_done(ticket_object *self, bool in_worker) {
    PyObject *struck = NULL, *outcome = new_outcome(self, &struck), *result = NULL;
    if (outcome != NULL) {
        here.hooks++;
        result = call_one(self->on_done, outcome);
        here.hooks--;
        if (result == NULL) {
            PyObject *error = fetch_exception();
            if (in_worker || PyObject_IsInstance(error, PyExc_Exception) > 0)
                log_raised(self, error);
            else if (struck == NULL) struck = Py_NewRef(error);
            Py_DECREF(error);
        }
        Py_XDECREF(result);
        Py_DECREF(outcome);
    }
    if (struck == NULL) return 0;
    PyErr_SetObject((PyObject *)Py_TYPE(struck), struck);
    Py_DECREF(struck);
    return -1;
}

int end_delivery(ticket_object *self, recipient_object *recipient, ending how, PyObject *why,
                 bool in_worker) {
    if (self->on_done == NULL || self->forks != bb_fork_count()) return 0;
    Py_ssize_t remaining;
    BEGIN_CRITICAL(self)
    if (how == HANDLED) self->handled++;
    else note(how == FAILED ? self->failed : self->dropped, (PyObject *)recipient, why);
    remaining = --self->remaining;
    END_CRITICAL
    return remaining == 0 ? call_done(self, in_worker) : 0;
}

/* end_lost(list, reason): the deliveries of a list of new_delivery_list were not made. Called
 * again, it does the rest. Allocates nothing itself. Raises after all have ended. */
static PyObject *end_lost(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    if (nargs != 2 || !PyList_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "end_lost(list, reason)");
        return NULL;
    }
    PyObject *lost = args[0], *type = NULL, *value = NULL, *traceback = NULL;
    for (Py_ssize_t at = LOST_FIELDS - 1; at < PyList_Size(lost); at += LOST_FIELDS) {
        PyObject *ticket = Py_NewRef(PyList_GetItem(lost, at));
        PyObject *recipient = Py_NewRef(PyList_GetItem(lost, at - LOST_FIELDS + 2));
        if (Py_TYPE(ticket) == ticket_type && PyObject_TypeCheck(recipient, recipient_type)) {
            PyList_SetItem(lost, at, Py_NewRef(Py_None));
            if (end_delivery((ticket_object *)ticket, (recipient_object *)recipient, DROPPED,
                             args[1], false) < 0) {
                Py_XDECREF(type);
                Py_XDECREF(value);
                Py_XDECREF(traceback);
                PyErr_Fetch(&type, &value, &traceback);
            }
        }
        Py_DECREF(ticket);
        Py_DECREF(recipient);
    }
    if (type == NULL) return Py_NewRef(Py_None);
    PyErr_Restore(type, value, traceback);
    return NULL;
}

static PyMethodDef functions[] = {
    {"end_lost", (PyCFunction)(void (*)(void))end_lost, METH_FASTCALL,
     "end_lost(list, reason, /)\n--\n\nCount the ends of lost deliveries for completion hooks."},
    {0},
};

int add_completion(PyObject *module) { return PyModule_AddFunctions(module, functions); }
