"""A plan's file -> :class:`Plan`, or every reason why it is none."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import msgspec

from supervisor.cannot_serve import CannotServe
from supervisor.faults.plan import Plan
from supervisor.host.agent_protocol import MESSAGES
from supervisor.vm.commands import FieldViolation
from supervisor.vm.effects import Effect
from supervisor.written.examine import build, examine

FILE_BYTES_MAX = 1 << 20
"""A plan of a thousand faults has a tenth of it."""
EFFECTS = tuple(sorted(effect.__name__ for effect in get_args(Effect)))


class PlanInvalid(CannotServe):
    """A fault plan is wrong; the message has one line for each wrong field."""

    def __init__(self, file: Path, violations: tuple[FieldViolation, ...]) -> None:
        self.violations = violations
        super().__init__("\n".join(_line(file, each) for each in violations))


class Loaded(msgspec.Struct, frozen=True):
    """A plan, and SHA-256 over the bytes of the file that it was read from."""

    plan: Plan
    digest: str


def load(file: Path) -> Loaded:
    """Read a plan. Raises PlanInvalid."""
    content = _read(file)
    try:
        tree = tomllib.loads(content.decode())
    except ValueError as error:
        raise _unreadable(file, f"not TOML: {error}") from None
    violations = tuple(examine(tree, Plan)) or tuple(_unknown_words(build(tree, Plan)))
    if not violations and not any(tree.values()):
        kinds = ", ".join(f"[[{name}]]" for name in Plan.__struct_fields__)
        raise _unreadable(file, f"it holds no fault; it takes {kinds}")
    if violations:
        raise PlanInvalid(file, violations)
    return Loaded(build(tree, Plan), hashlib.sha256(content).hexdigest())


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise _unreadable(file, (error.strerror or "cannot be read").lower()) from None
    if len(content) > FILE_BYTES_MAX:
        raise _unreadable(file, f"larger than {FILE_BYTES_MAX} bytes, which no fault plan is")
    return content


def _unreadable(file: Path, why: str) -> PlanInvalid:
    return PlanInvalid(file, (FieldViolation("", why),))


def _line(file: Path, violation: FieldViolation) -> str:
    field = f"{violation.field}: " if violation.field else ""
    return f"{file}: {field}{violation.description}"


def _unknown_words(plan: Plan) -> Iterator[FieldViolation]:
    """Yield the words of the plan that the daemon never says: such a fault would never happen."""
    known: Mapping[str, tuple[str, ...]] = {"effect": EFFECTS, "message": tuple(MESSAGES)}
    for kind in Plan.__struct_fields__:
        for index, fault in enumerate(getattr(plan, kind)):
            for field, words in known.items():
                word = getattr(fault, field, words[0])
                if word not in words:
                    takes = f"got {word!r:.60}; it takes one of {', '.join(words)}"
                    yield FieldViolation(f"{kind}[{index}].{field}", takes)
