"""Tests of the programs that measure: what they conclude, and that they measure at all."""
