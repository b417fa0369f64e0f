"""The core of the bus: private, and free to change."""
