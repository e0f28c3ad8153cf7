"""What a kind of report needs of its command, and what the command tells of one that holds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec


class Verdict(msgspec.Struct, frozen=True):
    """A report that holds: one sentence for people, and facts for scripts."""

    sentence: str
    facts: dict[str, object]


class ReportKind(msgspec.Struct, frozen=True):
    """One kind of report, the options that it needs, and those that it also takes."""

    name: str
    size: int
    needed: frozenset[str]
    optional: frozenset[str]
    verify: Callable[[bytes, Sequence[Path], dict[str, Any]], Verdict]

    def own_options(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the options of this kind.

        Raises:
            UsageError: One is missing, or one is given that would silently be ignored.
        """
        own = self.needed | self.optional
        named = {name for name, value in given.items() if _is_given(value)}
        if self.needed - named:
            raise click.UsageError(f"{self.name} also takes {_options(self.needed - named)}")
        if named - own:
            raise click.UsageError(f"{self.name} does not take {_options(named - own)}")
        return {name: given[name] for name in own}


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != ()


def _options(names: frozenset[str] | set[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in sorted(names))
