/* docs.h: the docstrings of the two methods that users call in C. */
#ifndef BB_DOCS_H
#define BB_DOCS_H

#define PUBLISH_DOC \
    "publish($self, event, *, priority=None, timeout=None, on_done=None, expires=None)\n--\n\n" \
    "Queue one delivery for each matching subscription, all of them or none.\n\n" \
    "Args:\n" \
    "    event: An `Event`, routed by its `type`; any other object is routed by its class.\n" \
    "    priority: 1 to `priority_levels`, higher is more urgent. Default: the class's\n" \
    "        `priority` attribute, else `config.priorities[type]`, else medium.\n" \
    "    timeout: Max seconds to wait for free slots before the policy applies; 0: no wait.\n" \
    "        Default: as long as workers take deliveries, and `config.publish_timeout` seconds\n" \
    "        longer; after a wait that ended so, further calls apply the policy immediately,\n" \
    "        until a worker takes again. With `BLOCK`: no limit. In a thread that runs an event\n" \
    "        loop it counts as 0, whatever it is: `await publish_async()` waits there.\n" \
    "    on_done: Called as `on_done(outcome)` exactly once, when all deliveries of the event\n" \
    "        have ended, with an `Outcome`: in the thread that ended the last, after the\n" \
    "        statistics have counted it, with no lock held. If the event is refused or nothing\n" \
    "        receives it, that is before `publish` returns or raises `QueueFull`. `flush`,\n" \
    "        `barrier` and `stop` wait for it in workers. Not called for what was never\n" \
    "        published: `BusClosed`, or an exception such as Ctrl-C that ends the wait. What it\n" \
    "        raises is logged; in a publisher's thread, what is no `Exception` is propagated.\n" \
    "    expires: Seconds, more than 0, after which a delivery that has not begun is dropped\n" \
    "        (`DropReason.EXPIRED`) instead: when a worker comes to it, or a publisher finds\n" \
    "        the queue full, before anything else is dropped. One that is retried has begun.\n\n" \
    "Returns:\n" \
    "    True: accepted (or no subscription matches). False: the event was dropped.\n\n" \
    "Raises:\n" \
    "    QueueFull: The queue is full and the policy is `REJECT`, or `BLOCK` and the `timeout`\n" \
    "        is over, or, in a handler, all workers wait in `publish` or none takes any more.\n" \
    "    BusClosed: The bus is stopped or stopping, and the caller is not one of its handlers.\n" \
    "    TypeError, ValueError: An argument is of the wrong type or out of range.\n" \
    "    Exception: What computing, hashing or comparing the key of a subscription raises;\n" \
    "        nothing was published then.\n\n" \
    "In a handler of any bus, an event that finds the queue full is accepted immediately\n" \
    "beyond the capacity, up to `config.handler_reserve` deliveries; then the handler waits\n" \
    "for free slots, before publishers from outside.\n\n" \
    "From any thread, handler, hook, signal handler or finalizer: no Python lock is held.\n" \
    "Ctrl-C while it waits is answered within 0.1 s; an exception raised there leaves the event\n" \
    "either accepted or unknown to the bus. In a forked child the first publish starts the\n" \
    "child's own workers. Costs some 60 ns, with `on_done` or `expires` some microseconds."

#define PUBLISH_MANY_DOC \
    "publish_many($self, events, *, priority=None, timeout=None, on_done=None, expires=None)\n" \
    "--\n\n" \
    "Publish many events in order, each as `publish` would; far cheaper per event.\n\n" \
    "`on_done` is called once for each event that was published; `expires` counts for each from\n" \
    "the moment at which it is its turn. With either, an event costs what `publish` costs.\n\n" \
    "Thread-safe as `publish` is. A list or tuple costs least; other iterables are taken in\n" \
    "batches of up to 256.\n\n" \
    "Returns:\n" \
    "    The number of events accepted.\n\n" \
    "Raises:\n" \
    "    QueueFull: As `publish`; those before it stay accepted, `QueueFull.accepted` is\n" \
    "        their number, and those after it were not tried.\n" \
    "    BusClosed, TypeError, ValueError: As `publish`."

#endif
