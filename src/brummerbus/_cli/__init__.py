"""The commands of `python -m brummerbus`, except the watcher's."""
