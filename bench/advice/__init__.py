"""The predictions of the adviser beside measurements."""
