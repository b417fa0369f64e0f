/* lane.c: the deliveries of one key to one recipient, as a Python object.
 *
 * A lane is pinned by the tickets that use it: a lane without pins has no delivery anywhere, and
 * its key may be forgotten (`_core/lanes.py`). */
#include "native.h"

PyTypeObject *lane_type;

/* Lane(recipient): of one key. */
static PyObject *lane_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    PyObject *recipient;
    if (!PyArg_ParseTuple(args, "O!:Lane", recipient_type, &recipient)) return NULL;
    if (((recipient_object *)recipient)->group == NULL) {
        PyErr_SetString(PyExc_ValueError, "the recipient has no group");
        return NULL;
    }
    PyObject *op = PyType_GenericNew(type, NULL, NULL);
    if (op == NULL) return NULL;
    lane_object *self = (lane_object *)op;
    self->lane.group = ((recipient_object *)recipient)->group;
    self->lane.serial = true;
    return op;
}

static void add_pins(PyObject *lane, Py_ssize_t n) {
    BEGIN_CRITICAL(lane)
    ((lane_object *)lane)->pins += n;
    END_CRITICAL
}

bb_lane *pin(PyObject *lane) {
    add_pins(lane, 1);
    return &((lane_object *)Py_NewRef(lane))->lane;
}

void unpin(bb_lane *lane) {
    PyObject *op = (PyObject *)((char *)lane - offsetof(lane_object, lane));
    add_pins(op, -1);
    Py_DECREF(op);
}

static PyMemberDef lane_members[] = {
    {"pins", T_PYSSIZET, offsetof(lane_object, pins), READONLY, "Tickets that use it."},
    {0},
};

static PyType_Slot lane_slots[] = {
    {Py_tp_doc, "Lane(recipient)\n--\n\nThe deliveries of one key to one recipient."},
    {Py_tp_new, lane_new},
    {Py_tp_dealloc, free_object},
    {Py_tp_members, lane_members},
    {0, NULL},
};

static PyType_Spec lane_spec = {
    .name = "brummerbus._core._ext.Lane",
    .basicsize = sizeof(lane_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = lane_slots,
};

int add_lane(PyObject *module) { return add_type(module, &lane_spec, &lane_type); }
