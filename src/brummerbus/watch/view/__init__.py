"""The live view on a terminal: what failed, how the processes do, and their output.

The rest of the watcher knows `live_view`, and what that is given.

    live_view  the view: entered, updated, left  terminal  keys, output that never waits
    keys       bytes to names of keys            choice    what the user has chosen
    recent     the last lines                    scene     what is shown
    failures   errors with all their lines       sections  the parts of a frame, drawn with rich
    frame      how many rows each part gets      actions   what keys do to the processes
"""
