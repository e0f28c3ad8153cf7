"""One mutant against the tests, in a process of its own.

The process is forked from one that has loaded all but the code under test and its tests, because
loading the rest takes longer than the tests. RSA keys are made once, too: a test takes whichever.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import signal
import sys
from collections.abc import Sequence
from enum import Enum
from types import ModuleType

import hypothesis
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.mutation.mutants import Mutant

SECONDS_MAX = 60
"""The tests take five; a mutant may loop for ever."""

MEMORY_BYTES_MAX = 2 << 30
"""A mutant may also collect for ever."""

OPTIONS = (
    *("-x", "-q", "-p", "no:cacheprovider", "--tb=no"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # a second run in one process
)
UNDER_TEST = ("supervisor.sev", "supervisor.cli.sev", "tests.sev")
KEY_BITS = (2048, 4096)
KEYS_OF_A_SIZE = 8
"""More than all tests together take of one size at once."""


class Verdict(Enum):
    """What the tests said of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    ENDLESS = "endless"


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the mutant in the place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._mutant.tree, self._mutant.name, "exec"), module.__dict__)


def prepare(tests: Sequence[str]) -> None:
    """Load what all trials share. Raises RuntimeError where the tests fail without any damage."""
    hypothesis.settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, print_blob=False
    )
    hypothesis.settings.load_profile("mutation")
    if _run(tests) != pytest.ExitCode.OK:
        raise RuntimeError("the tests fail before anything is damaged")
    for name in [each for each in sys.modules if each.startswith(UNDER_TEST)]:
        del sys.modules[name]
    _keep_keys()


def trial(mutant: Mutant, tests: Sequence[str]) -> Verdict:
    """Run the tests against a mutant."""
    child = os.fork()
    if child == 0:
        _in_child(mutant, tests)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Verdict.ENDLESS
    return Verdict.SURVIVED if os.waitstatus_to_exitcode(status) == 0 else Verdict.KILLED


def _in_child(mutant: Mutant, tests: Sequence[str]) -> None:
    code = 1
    try:
        signal.alarm(SECONDS_MAX)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        sys.meta_path.insert(0, _Loader(mutant))
        code = int(_run(tests))
    finally:
        os._exit(code)


def _run(tests: Sequence[str]) -> int:
    """Return pytest's exit code; what it prints is of no interest."""
    silence, kept = os.open(os.devnull, os.O_WRONLY), (os.dup(1), os.dup(2))
    try:
        for stream in (1, 2):
            os.dup2(silence, stream)
        return pytest.main([*OPTIONS, *tests])
    finally:
        for stream, descriptor in zip((1, 2), kept, strict=True):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        os.close(silence)


def _keep_keys() -> None:
    generate = rsa.generate_private_key
    keys = {bits: [generate(65537, bits) for _ in range(KEYS_OF_A_SIZE)] for bits in KEY_BITS}

    def kept(public_exponent: int, key_size: int, backend: object = None) -> rsa.RSAPrivateKey:
        return keys[key_size].pop() if keys.get(key_size) else generate(public_exponent, key_size)

    rsa.generate_private_key = kept
