"""The process watcher, the first application of the bus: `python -m brummerbus watch`.

It starts the processes of a Procfile, publishes their output, starts and exits, and subscribes
handlers that store, detect, count and display. Of the bus it uses only the names importable from
`brummerbus` and `brummerbus.relay`, so it is also the longest example of their use.

    command     the command line                app               connects all parts
    processes   what to run, and running it     aside             threads for what may stand still
    lines       bytes to lines                  payloads          the data of the events
    redact      masks secrets in lines          private           files for their owner alone
    detect      errors, tests and builds        detector_handler  the handler that publishes them
    patterns    what errors look like           places            links to places in files
    store       every line, in SQLite           log               the command that reads the store
    counters    counts and states               line_printer      lines, without the view
    view        the view on a terminal          labels            names before lines, and colours
    report      the figures at the end          summary, page     the same as text and HTML
    figures     counts of handlers, the queue   bus_figures,plots the bus's figures in the report
    remote      watchers on other machines
    interrupts  Ctrl-C, and further ones        output            writes without holding others up
"""
