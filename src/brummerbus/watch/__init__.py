"""The process watcher, the main job of the bus: `python -m brummerbus watch`.

It starts the processes of a Procfile, publishes what they print and what becomes of them, and
subscribes handlers that store, detect, count and show. It uses nothing of the bus but the names
importable from `brummerbus`, so it is also the longest example of how to use them.

    command     the command line                app               wires it all together
    procfile    what to run                     process           starts it and reads its pipes
    lines       bytes to lines                  payloads          what the events carry
    detect      errors, tests and builds        detector_handler  the handler that publishes them
    store       every line, in SQLite           resequencer       restores each stream's order
    counters    counts and states               log_command       reads the store
    live        the view on a terminal          line_printer      lines without one
    report      the numbers at the end          page              the same as one HTML page
    interrupts  what Ctrl-C does, the first time and the next
"""
