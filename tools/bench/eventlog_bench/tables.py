"""A report as two tables for people."""

from collections.abc import Sequence

from rich.table import Table

from eventlog_bench.goals import Figure, Report, Unit

_REACHED = {None: "", True: "yes", False: "no"}


def tables(found: Report) -> Sequence[Table]:
    """Return who appended how fast, and what was aimed at."""
    return _speeds(found), _figures(found)


def _speeds(found: Report) -> Table:
    title = f"Appends of {found.event_bytes} bytes, medians of {found.rounds} rounds"
    table = _table(
        title, "contestant", ("producers", "events/s", "against raw", "p50 us", "p99 us")
    )
    for one in found.speeds:
        times = (f"{one.p50 * 1e6:.0f}", f"{one.p99 * 1e6:.0f}")
        ratio = f"{one.ratio:.2f}x"
        table.add_row(one.who, str(one.producers), f"{one.per_second:,.0f}", ratio, *times)
    return table


def _figures(found: Report) -> Table:
    table = _table("Goals", "measure", ("found", "goal", "reached"))
    for one in found.figures:
        goal = f"{one.goal.bound.value} {_shown(one.goal.limit, one.unit)}" if one.goal else ""
        table.add_row(one.title, _value(one), goal, _REACHED[one.reached])
    return table


def _value(figure: Figure) -> str:
    return _shown(figure.value, figure.unit)


def _shown(value: float, unit: Unit) -> str:
    if unit is Unit.SECONDS:
        return f"{value * 1e6:.0f} us"
    if unit is Unit.PER_SECOND:
        return f"{value:,.0f}/s"
    return f"{value:.2f}x"


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, box=None, pad_edge=False, title_justify="left", header_style="bold")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table
