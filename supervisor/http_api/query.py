"""Query strings -> parameters. What is unknown, given twice or no number is refused by name."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from supervisor.api.refusals import denied_for
from supervisor.http_api.operation import Place
from supervisor.vm.commands import CommandDenied, DenyReason

FIELDS = 128
"""Labels are 64 at most, phases ten; more, and something is there that does not belong."""

_NUMBER = re.compile(r"[0-9]{1,18}")


class Query(msgspec.Struct, frozen=True):
    """The parameters that a request came with."""

    once: dict[str, str]
    often: dict[str, tuple[str, ...]]

    def text(self, name: str, otherwise: str = "") -> str:
        """Return a parameter, or the other text if it was not given."""
        return self.once.get(name, otherwise)

    def number(self, name: str, most: int) -> int | None:
        """Return a whole number. Raises CommandDenied."""
        given = self.once.get(name)
        if given is None:
            return None
        if not _NUMBER.fullmatch(given) or int(given) > most:
            raise wrong(name, f"got {given[:40]!r}; it takes a whole number of at most {most}")
        return int(given)

    def flag(self, name: str) -> bool:
        """Return a truth value. Raises CommandDenied."""
        given = self.once.get(name, "false")
        if given not in {"true", "false"}:
            raise wrong(name, f"got {given[:40]!r}; it takes true or false")
        return given == "true"


def parse(request: Request) -> Query:
    """Return those parameters of a request that its operation has. Raises CommandDenied."""
    known = {each.name: each for each in request.state.parameters if each.place is Place.QUERY}
    single: dict[str, str] = {}
    repeated: dict[str, tuple[str, ...]] = {
        name: () for name, each in known.items() if each.may_repeat
    }
    for name, value in _pairs(request):
        if name in repeated:
            repeated[name] += (value,)
        elif name not in known:
            takes = ", ".join(sorted(known)) or "none"
            raise wrong(name[:64], f"is not a parameter here; it takes {takes}")
        elif name in single:
            raise wrong(name, "is given twice")
        else:
            single[name] = value
    return Query(single, repeated)


def _pairs(request: Request) -> Iterator[tuple[str, str]]:
    query: bytes = request.scope["query_string"]
    try:
        yield from parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=FIELDS,
        )
    except ValueError as error:
        raise wrong("query", f"cannot be read: {error}") from None


def wrong(parameter: str, description: str) -> CommandDenied:
    """Return a refusal for the sake of one parameter."""
    return denied_for(DenyReason.INVALID_ARGUMENT, parameter, description)
