"""`make bench-watch`: what it costs to watch a process that prints a million lines."""
