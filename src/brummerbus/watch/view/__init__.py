"""The live view on a terminal: what failed, how the processes do, and their output.

live_view  the view: entered, updated, left  terminal  keys, output that never waits
keys       bytes to names of keys            choice    what the user has chosen
recent     the last lines                    scene     what is shown
frame      how many rows each part gets      sections  the parts, drawn with rich
"""
