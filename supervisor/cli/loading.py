"""Importing what a command needs, and no more, as fast as Python can; and collecting garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

GENERATIONS = (20_000, 10, 20)
"""New objects until the youngest are looked through, which then takes some 5 ms; and how many such
rounds until the next generation is. Python's own numbers are those of a short program: a daemon
with 3,000 VMs spent a third of a submission on looking through objects that all live."""


@contextmanager
def without_collecting() -> Iterator[None]:
    """Let no garbage be looked for while modules are imported, nor ever again among them.

    What is imported stays, and looking through it again and again took an eighth of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def collect_for_long() -> None:
    """Look for garbage as a program should that lives long and holds much."""
    gc.set_threshold(*GENERATIONS)
