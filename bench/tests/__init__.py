"""Tests of the programs that measure: their conclusions, and that they measure at all."""
