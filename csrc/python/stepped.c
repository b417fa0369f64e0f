/* stepped.c: a worker without a thread, for `brummerbus.testing.TestBus`. What the loop in worker.c
 * does in one go is done in steps, between which others do theirs: enter, then take, fill and run
 * again and again, until take has it leave.
 *
 * Guarantees
 * - The calls to the queue are those of the loop, in its order. Only finishing a delivery and
 *   taking the next are two steps.
 * - A step counts as inside a handler of the queue, as the loop does, whatever the code is in that
 *   asks for it: it has a thread_state of its own, as a thread would.
 * - What a handler raises that is no Exception is reported, as it is by a thread, and is then
 *   raised by `run`: it may be a Ctrl-C, and there is no other thread that it could strike.
 */
#include "worker.h"

struct stepped {
    bb_worker *worker; /* NULL: it has left */
    int64_t forks;     /* when it entered */
    bool started;      /* `start` has been called */
    bool holds;        /* `call` has what was taken, and this object the references to it */
    bool filled;       /* nothing is added to its batch any more */
    bool steps;        /* a step is in progress: the handler itself can ask for none */
    uint64_t until;    /* its batch is waited for */
    handler_call call;
};

/* ---- where the thread is --------------------------------------------------------------------- */

typedef struct {
    thread_state outer;
    handler_frame frame;
} step_frame;

static void begin_step(worker_object *self, step_frame *f) {
    f->outer = here;
    f->frame = (handler_frame){.queue = self->queue};
    here = (thread_state){.innermost = &f->frame, .worker = self->steps->worker};
    self->steps->steps = true;
}

static void end_step(worker_object *self, const step_frame *f) {
    self->steps->steps = false;
    here = f->outer;
}

/* ---- enter ----------------------------------------------------------------------------------- */

static PyObject *stepped_enter(PyObject *op, PyObject *unused) {
    (void)unused;
    worker_object *self = (worker_object *)op;
    if (self->steps != NULL || self->entered) {
        PyErr_SetString(PyExc_RuntimeError, "the worker has entered already");
        return NULL;
    }
    self->steps = PyMem_Calloc(1, sizeof *self->steps);
    if (self->steps == NULL) return PyErr_NoMemory();
    self->steps->worker = bb_worker_enter(self->queue, bb_thread_id());
    self->steps->forks = bb_fork_count();
    self->entered = 1;
    return PyBool_FromLong(self->steps->worker != NULL);
}

/* The worker may take a step; else it has none to take. */
static bool is_able(const worker_object *self) {
    return self->steps != NULL && self->steps->worker != NULL && !self->steps->steps;
}

/* ---- take ------------------------------------------------------------------------------------ */

static void leave(worker_object *self) {
    self->steps->worker = here.worker = NULL;
    if (self->steps->forks == bb_fork_count()) call_worker_hook(self, self->stop);
    PyObject *result = PyObject_CallFunctionObjArgs(self->ended, NULL);
    if (result == NULL) PyErr_Clear(); /* it lets none pass */
    Py_XDECREF(result);
}

static void hold_taken(worker_object *self, const bb_delivery *d) {
    stepped *s = self->steps;
    prepare_call(&s->call, &self->hooks, self->queue, s->worker, d);
    s->until = bb_now(self->queue) + (uint64_t)s->call.recipient->batch_wait;
    s->filled = s->call.more == 0;
    s->holds = true;
}

static bb_took take_step(worker_object *self) {
    stepped *s = self->steps;
    if (!s->started) {
        s->started = true;
        call_worker_hook(self, self->start);
        if (self->start != Py_None) return BB_TOOK;
    }
    bb_delivery d;
    bb_took took = bb_try_take(s->worker, &d);
    if (took == BB_LEAVE) {
        leave(self);
    } else if (took == BB_EXPIRED) {
        drop_expired(self, &d);
        bb_completed(s->worker);
    } else if (took == BB_TOOK) {
        hold_taken(self, &d);
    }
    return took;
}

/* take(): whether there was anything to do: a delivery is held now, or has expired, a hook was
 * called, or the worker has left. */
static PyObject *stepped_take(PyObject *op, PyObject *unused) {
    (void)unused;
    worker_object *self = (worker_object *)op;
    if (!is_able(self) || self->steps->holds) return Py_NewRef(Py_False);
    step_frame f;
    begin_step(self, &f);
    bb_took took = take_step(self);
    end_step(self, &f);
    return PyBool_FromLong(took != BB_NOTHING);
}

enum { HOLDS_NOTHING = -1, CANNOT_STEP = -2 };

/* fill(): add to the batch of the delivery that is held what there is. 0: it can be run. Otherwise
 * the time until which it waits for more, or one of the two above. */
static PyObject *stepped_fill(PyObject *op, PyObject *unused) {
    (void)unused;
    worker_object *self = (worker_object *)op;
    stepped *s = self->steps;
    if (!is_able(self)) return PyLong_FromLong(CANNOT_STEP);
    if (!s->holds) return PyLong_FromLong(HOLDS_NOTHING);
    if (s->filled) return PyLong_FromLong(0);
    int32_t found = bb_try_take_more(s->worker, s->call.deliveries + 1, s->call.more, s->until);
    if (found == BB_NOTHING) return PyLong_FromUnsignedLongLong(s->until);
    s->filled = true;
    s->call.n += found;
    return PyLong_FromLong(0);
}

/* ---- run ------------------------------------------------------------------------------------- */

static PyObject *run_held(worker_object *self) {
    stepped *s = self->steps;
    if (ticket_of(s->call.deliveries[0].event) != NULL) return finish_prepared(&s->call);
    PyObject *error = run_plain(self, s->worker, s->call.deliveries);
    bb_finish(s->worker, 0);
    return error;
}

/* run(): call the handler of what is held, and finish it; whether anything was held. */
static PyObject *stepped_run(PyObject *op, PyObject *unused) {
    (void)unused;
    worker_object *self = (worker_object *)op;
    if (!is_able(self) || !self->steps->holds) return Py_NewRef(Py_False);
    PyObject *recipient = (PyObject *)self->steps->call.recipient;
    step_frame f;
    Py_INCREF(op); /* the handler may drop the bus */
    begin_step(self, &f);
    self->steps->holds = false;
    PyObject *error = run_held(self);
    Py_DECREF(recipient); /* a finalizer still runs inside the delivery */
    end_step(self, &f);
    Py_DECREF(op);
    if (error == NULL) return Py_NewRef(Py_True);
    if (PyErr_GivenExceptionMatches(error, PyExc_Exception) || error == Py_None) {
        Py_DECREF(error);
        return Py_NewRef(Py_True);
    }
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
    return NULL;
}

/* outside(function): call it as if from a thread of its own, in no handler and no hook. */
static PyObject *stepped_outside(PyObject *cls, PyObject *function) {
    (void)cls;
    thread_state outer = here;
    here = (thread_state){0};
    PyObject *result = PyObject_CallFunctionObjArgs(function, NULL);
    here = outer;
    return result;
}

static PyObject *stepped_has_left(PyObject *op, PyObject *unused) {
    (void)unused;
    const worker_object *self = (worker_object *)op;
    return PyBool_FromLong(self->steps == NULL || self->steps->worker == NULL);
}

PyMethodDef stepped_methods[] = {
    {"enter", stepped_enter, METH_NOARGS,
     "enter($self, /)\n--\n\nBecome a worker that is called step by step; return whether it did."},
    {"take", stepped_take, METH_NOARGS,
     "take($self, /)\n--\n\nTake the next delivery, to run it later; return whether there was "
     "anything to do."},
    {"fill", stepped_fill, METH_NOARGS,
     "fill($self, /)\n--\n\nReturn 0 if what was taken can be run, the time until which its batch "
     "is waited for, -1 if nothing was taken, -2 if it has left or is in a step."},
    {"run", stepped_run, METH_NOARGS,
     "run($self, /)\n--\n\nRun what was taken; return whether there was anything."},
    {"has_left", stepped_has_left, METH_NOARGS,
     "has_left($self, /)\n--\n\nReturn whether it is no worker any more."},
    {"outside", stepped_outside, METH_O | METH_STATIC,
     "outside(function, /)\n--\n\nCall a function as if from a thread of its own."},
    {0},
};

/* ---- what it holds --------------------------------------------------------------------------- */

int visit_stepped(worker_object *self, visitproc visit, void *arg) {
    if (self->steps == NULL || !self->steps->holds) return 0;
    const handler_call *c = &self->steps->call;
    for (int32_t i = 0; i < c->n; i++) {
        Py_VISIT(object_of(c->deliveries[i].event));
        Py_VISIT((PyObject *)c->recipient);
    }
    return 0;
}

void clear_stepped(worker_object *self) {
    stepped *s = self->steps;
    self->steps = NULL;
    if (s == NULL) return;
    for (int32_t i = 0; s->holds && i < s->call.n; i++) {
        Py_DECREF(object_of(s->call.deliveries[i].event));
        Py_DECREF((PyObject *)s->call.recipient);
    }
    if (s->holds) PyMem_Free(s->call.memory);
    PyMem_Free(s);
}
