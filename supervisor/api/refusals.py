"""Refusals that name what is wrong: the one way in which this package says no."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation

VIOLATIONS_SHOWN = 8
"""What a person reads of many faults in one message; the rest is counted."""


def denied(reason: DenyReason, violations: Iterable[FieldViolation]) -> CommandDenied:
    """Return a refusal whose message names every field that is wrong, as far as it is readable."""
    found = tuple(violations)
    shown = [f"{wrong.field}: {wrong.description}" for wrong in found[:VIOLATIONS_SHOWN]]
    if len(found) > VIOLATIONS_SHOWN:
        shown.append(f"and {len(found) - VIOLATIONS_SHOWN} more")
    return CommandDenied(reason, "; ".join(shown), found)


def denied_for(reason: DenyReason, field: str, description: str) -> CommandDenied:
    """Return a refusal for the sake of one field."""
    return denied(reason, [FieldViolation(field, description)])


@contextmanager
def mismatches_named(field: str) -> Iterator[None]:
    """Let the refusal of an upload name the field that its bytes belie, as the client calls it."""
    try:
        yield
    except CommandDenied as refused:
        if refused.reason is not DenyReason.ARTIFACT_MISMATCH or refused.violations:
            raise
        raise denied_for(refused.reason, field, refused.detail) from None


def refuse(violations: tuple[FieldViolation, ...]) -> None:
    """Raise CommandDenied if there are any violations."""
    if violations:
        raise denied(DenyReason.INVALID_ARGUMENT, violations)


def required(field: str, value: str) -> str:
    """Return ``value``, which must not be empty. Raises CommandDenied."""
    refuse(() if value else (FieldViolation(field, "is missing"),))
    return value
