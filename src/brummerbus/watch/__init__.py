"""The process watcher, the first application of the bus: `python -m brummerbus watch`.

It starts the processes of a Procfile, publishes their output, starts and exits, and subscribes
handlers that store, detect, count and display. Of the bus it uses only the names importable from
`brummerbus` and `brummerbus.relay`, so it is also the longest example of their use.

    command     the command line                app               connects all parts
    processes   what to run, and running it     aside             threads for what may stand still
    lines       bytes to lines                  payloads          the data of the events
    detect      errors, tests and builds        detector_handler  the handler that publishes them
    store       every line, in SQLite           log_command       reads the store
    counters    counts and states               line_printer      lines without a terminal
    view        the view on a terminal          report            the figures at the end
    summary     the same as text                page, plots       the same as one HTML page
    bus_figures the bus's own figures, as text  places            links to files
    remote      watchers on other machines
    interrupts  Ctrl-C, and further ones        output            writes without holding others up
"""
