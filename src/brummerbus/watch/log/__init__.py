"""`python -m brummerbus log`: what the store of a watcher has."""
