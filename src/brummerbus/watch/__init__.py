"""The process watcher, the main job of the bus: `python -m brummerbus watch`.

It starts the processes of a Procfile, publishes what they print and what becomes of them, and
subscribes handlers that store, detect, count and show. It uses nothing of the bus but the names
importable from `brummerbus`, so it is also the longest example of how to use them.

    procfile    what to run                     command     the command line
    process     starts it and reads its pipes   app         wires it all together
    lines       bytes to lines                  in_order    restores each stream's order
    payloads    what the events carry           detect      errors, tests and builds in lines
    store       every line, in SQLite           tally       counts and states
    live        the view on a terminal          plain       lines without one
    report      the numbers at the end          page        the same as one HTML page
"""
