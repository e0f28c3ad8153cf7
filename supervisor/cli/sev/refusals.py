"""How a refusal of the `sev` commands ends: one exit code for each kind, one sentence for each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.options import F
from supervisor.cli.output import print_json
from supervisor.sev.errors import (
    Malformed,
    Mismatch,
    Outdated,
    SevRefused,
    Unfit,
    Untrusted,
    WeakPolicy,
)

OF_REFUSAL: dict[type[SevRefused], ExitCode] = {
    Malformed: ExitCode.MALFORMED,
    Untrusted: ExitCode.UNTRUSTED,
    Mismatch: ExitCode.MISMATCH,
    WeakPolicy: ExitCode.WEAK_POLICY,
    Outdated: ExitCode.OUTDATED,
    Unfit: ExitCode.UNFIT,
}


@contextmanager
def refusals_told(*, as_json: bool) -> Iterator[None]:
    """End the command with the refusal's code; scripts find its kind and sentence in the JSON."""
    try:
        yield
    except SevRefused as refusal:
        code = OF_REFUSAL[type(refusal)]
        if as_json:
            kind = code.name.lower().replace("_", "-")
            print_json({"verified": False, "kind": kind, "why": str(refusal)})
        raise Failure(code, str(refusal)) from None


def option(name: str, parse: Callable[[str], object], **settings: Any) -> Callable[[F], F]:
    """Return an option whose text a parser of the library takes; damage there is wrong usage."""

    def convert(context: click.Context, parameter: click.Parameter, value: Any) -> object:
        try:
            if isinstance(value, tuple):
                return tuple(parse(each) for each in value)
            return None if value is None else parse(value)
        except Malformed as error:
            raise click.BadParameter(str(error)) from None

    return click.option(name, callback=convert, **settings)
