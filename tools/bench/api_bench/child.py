"""A process of the bench: it is told one line and answers with one, until its input ends."""

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

ANSWER_S = 180.0
"""The longest measure takes seconds, on a machine that has nothing else to do."""

T = TypeVar("T")


class ChildFailed(Exception):
    """A process of the bench ended, or did not answer."""


class Child:
    """The end that asks."""

    def __init__(self, process: subprocess.Popen[bytes], name: str) -> None:
        self.pid = process.pid
        self._process = process
        self._name = name

    def tell(self, word: msgspec.Struct) -> None:
        """Say something. Raises ChildFailed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(word) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ChildFailed(f"{self._name} has ended") from None

    def hear(self, kind: type[T]) -> T:
        """Return the answer. Raises ChildFailed."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], ANSWER_S)[0]:
            raise ChildFailed(f"{self._name} did not answer within {ANSWER_S:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise ChildFailed(f"{self._name} has ended")
        return msgspec.json.decode(line, type=kind)

    def ask(self, word: msgspec.Struct, kind: type[T]) -> T:
        """Say something and return the answer. Raises ChildFailed."""
        self.tell(word)
        return self.hear(kind)


@contextmanager
def started(name: str, *arguments: str) -> Iterator[Child]:
    """Run a module of this package as a process; it is gone at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.{name}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        process_group=0,
    )
    with process:
        try:
            yield Child(process, name)
        finally:
            process.kill()


def heard(kind: Any) -> Any:
    """In the process: wait for the next word of a kind; None when there are no more."""
    line = sys.stdin.buffer.readline()
    return msgspec.json.decode(line, type=kind) if line else None


def say(word: msgspec.Struct) -> None:
    """In the process: answer."""
    sys.stdout.buffer.write(msgspec.json.encode(word) + b"\n")
    sys.stdout.buffer.flush()


def serve(kind: Any, answer: Callable[[Any], msgspec.Struct]) -> None:
    """In a process that waits for nothing else: answer every word."""
    while (word := heard(kind)) is not None:
        say(answer(word))
