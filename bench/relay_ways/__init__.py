"""Ways to send events through a broker; each module has `send` and `receive`."""
