"""Why an event happened: back from cause to cause, to the command or start that it began with."""

from pathlib import Path

import msgspec

from eventlog import Record, read_log


class NoSuchEvent(Exception):
    """The log has no event at this position."""


class Chain(msgspec.Struct, frozen=True):
    """The events that led to the last one, the first cause first.

    ``whole`` is false where a cause is not in the log any more.
    """

    links: tuple[Record, ...]
    whole: bool


def chain(log: Path, position: int) -> Chain:
    """Return what led to the event at a position. Raises NoSuchEvent, or damage."""
    target = next(iter(read_log(log, position - 1)), None) if position > 0 else None
    if target is None or target.position != position:
        raise NoSuchEvent(f"there is no event at position {position}")
    known = _known(log, target)
    links = [target]
    while (cause := known.get(links[0].causation_id)) is not None:
        if cause.position >= links[0].position:
            break  # Whoever wrote this is not us; it must not keep us for ever.
        links.insert(0, cause)
    first = links[0]
    # The first cause is a request, which is no event, or nothing at all.
    whole = first.causation_id in ("", first.correlation_id)
    return Chain(tuple(links), whole)


def _known(log: Path, target: Record) -> dict[str, Record]:
    """The events before the target that share its origin, and the origin, by their ids."""
    known: dict[str, Record] = {}
    for record in read_log(log):
        if record.position >= target.position:
            break
        if target.correlation_id in (record.correlation_id, record.event_id):
            known.setdefault(record.event_id, record)
    return known
