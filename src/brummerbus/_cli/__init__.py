"""The command line: what `python -m brummerbus` runs, other than the watcher."""
