"""What needs to know how wide a terminal is: tables, folded sentences, and bars of progress.

Apart from :mod:`supervisor.cli.output`, because loading rich takes a tenth of a daemon's start, and
the daemon draws nothing.
"""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import click
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from supervisor.cli.output import human_size, note, printable, stdout_width

GAP = 2
"""Columns of rich tables without a box stand two blanks apart."""

ELASTIC_WIDTH_MIN = 8

BESIDE_WIDTH_MIN = 30
"""In fewer columns a sentence does not read well beside what it is about, so it goes below."""

BELOW_INDENT = 8

WORTH_A_LINE_BYTES = 1 << 20
"""Where nothing can be redrawn, less is done before a line about it is read."""


def beside(head: str, sentence: str) -> str:
    """Return ``sentence`` after ``head``, folded between words; below it where room is scarce."""
    width, at = stdout_width(), cell_len(head)
    if width - at < BESIDE_WIDTH_MIN:
        return f"{head.rstrip()}\n{_folded(sentence, width, BELOW_INDENT)}"
    return head + _folded(sentence, width, at).lstrip()


def _folded(sentence: str, width: int, indent: int) -> str:
    blank = " " * indent
    return textwrap.fill(
        sentence, width, initial_indent=blank, subsequent_indent=blank, break_on_hyphens=False
    )


def stdout_console() -> Console:
    """Return the console for answers; text is never read as markup."""
    return Console(markup=False, highlight=False, emoji=False, width=stdout_width())


def stderr_console() -> Console:
    """Return the console for progress."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, elastic: int | None = None
) -> None:
    """Print a table with a heading.

    The ``elastic`` column is cut to what the terminal leaves it. The others never are, because what
    they hold is copied into other commands.
    """
    console, cells = stdout_console(), [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    if elastic is not None:
        others = sum(widths) - widths[elastic] + GAP * (len(widths) - 1)
        widths[elastic] = min(widths[elastic], max(ELASTIC_WIDTH_MIN, console.width - others))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column, no_wrap=True, overflow="ellipsis", width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    console.width = max(console.width, sum(widths) + GAP * (len(widths) - 1))
    _print_table(console, table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values, one a line; empty values are left out and long ones folded."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(name, Text(printable(value)))
    _print_table(stdout_console(), table)


def _print_table(console: Console, table: Table) -> None:
    """Print a table without the blanks that rich fills its lines with."""
    with console.capture() as drawn:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in drawn.get().splitlines()))


@contextmanager
def byte_progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told of bytes done; a bar on a terminal, one line elsewhere."""
    console = stderr_console()
    if not is_lively(console):
        if total >= WORTH_A_LINE_BYTES:
            note(f"{label} ({human_size(total)})")
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(True))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(printable(label), total=total)
        yield lambda done: progress.advance(task, done)


@contextmanager
def step_progress(label: str) -> Iterator[Callable[[str, float], None]]:
    """Yield a function that is told what is being done, and the fraction done in 0..1.

    A bar on a terminal; elsewhere one line whenever what is being done changes.
    """
    console = stderr_console()
    if not is_lively(console):
        yield _Lines(label)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress, progress.add_task(printable(label), total=1.0), label)


def is_lively(console: Console) -> bool:
    """Return whether the console can redraw a line."""
    return console.is_terminal and not console.is_dumb_terminal


class _Bar:
    def __init__(self, progress: Progress, task: TaskID, label: str) -> None:
        self._progress, self._task, self._label = progress, task, label

    def __call__(self, doing: str, fraction: float) -> None:
        description = printable(f"{self._label}: {doing}" if doing else self._label)
        self._progress.update(self._task, description=description, completed=fraction)


class _Lines:
    def __init__(self, label: str) -> None:
        self._label, self._last = label, ""

    def __call__(self, doing: str, fraction: float) -> None:
        if doing and doing != self._last:
            note(f"{self._label}: {doing}")
        self._last = doing
