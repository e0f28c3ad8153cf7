"""Proof by trial that the event log loses nothing it acknowledged: see docs/crash-testing.md.

Five layers, each a module with `run`: simulation, damage, kill, injection, powercut. Each layer
also tries mutants, writers or readers with one rule of the format broken on purpose, and must
catch every one of them: a harness that finds nothing proves nothing before that.
"""
