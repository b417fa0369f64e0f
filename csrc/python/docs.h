/* docs.h: the docstrings of the two methods that users call in C. */
#ifndef BB_DOCS_H
#define BB_DOCS_H

#define PUBLISH_DOC \
    "publish($self, event, *, priority=None, timeout=None)\n--\n\n" \
    "Queue one delivery for each matching subscription, all of them or none.\n\n" \
    "Args:\n" \
    "    event: An `Event`, routed by its `type`; any other object is routed by its class.\n" \
    "    priority: 1 to `priority_levels`, higher is more urgent. Default: the class's\n" \
    "        `priority` attribute, else `config.priorities[type]`, else medium.\n" \
    "    timeout: Seconds to wait for room before the policy applies, at most; 0 does not wait.\n" \
    "        Default: as long as workers take deliveries, and `config.publish_timeout` seconds\n" \
    "        longer; after such a wait without success further calls apply the policy at once\n" \
    "        until a worker takes again. With `BLOCK`: no limit.\n\n" \
    "Returns:\n" \
    "    True: accepted (or nobody subscribed). False: the event was dropped.\n\n" \
    "Raises:\n" \
    "    QueueFull: There was no room and the policy is `REJECT`, or `BLOCK` and the `timeout` is\n" \
    "        over, or, in a handler, all workers wait in `publish` or none takes any more.\n" \
    "    BusClosed: The bus is stopped or stopping, and the caller is not one of its handlers.\n" \
    "    TypeError, ValueError: An argument is of the wrong type or out of range.\n\n" \
    "In a handler of any bus, an event that finds no room is accepted at once beyond the\n" \
    "capacity, up to `config.handler_reserve` deliveries; beyond that the handler waits for room,\n" \
    "ahead of publishers from outside.\n\n" \
    "From any thread, handler, hook, signal handler or finalizer: no Python lock is held. Ctrl-C\n" \
    "while it waits is answered within 0.1 s; an exception that strikes it leaves the event either\n" \
    "accepted or unknown to the bus. In a forked child the first publish starts the child's own\n" \
    "workers. Costs some 60 ns."

#define PUBLISH_MANY_DOC \
    "publish_many($self, events, *, priority=None, timeout=None)\n--\n\n" \
    "Publish many events in order, each as `publish` would; far cheaper per event.\n\n" \
    "As safe as `publish`. A list or tuple costs least; other iterables are taken in batches of up\n" \
    "to 256.\n\n" \
    "Returns:\n" \
    "    How many were accepted.\n\n" \
    "Raises:\n" \
    "    QueueFull: As `publish`; those before it stay accepted, `QueueFull.accepted` tells\n" \
    "        how many, and those after it were not tried.\n" \
    "    BusClosed, TypeError, ValueError: As `publish`."

#endif
