"""A picture of `top` in so many columns and lines."""

from collections import Counter
from collections.abc import Iterator

from chronovisor_api import v1
from rich.console import Group
from rich.table import Table
from rich.text import Text

from supervisor.cli.messages import word
from supervisor.cli.observing import Picture, Usage
from supervisor.cli.output import UNBOUNDED_WIDTH, human_size, printable
from supervisor.cli.sentences import brief
from supervisor.cli.vms import age, phase_and_contact, progress_or_end

EVENTS_SHARE = 3
"""Of the lines, one in so many at least is the events'."""
AROUND = 5
"""Lines that are neither VMs nor events: two of the head, the columns' names, two blank ones."""
NAMED_COLUMNS = 100
"""Fewer have no room for names."""
UNKNOWN = "-"


def drawn(picture: Picture, head: str, columns: int, lines: int) -> Group:
    """Return a picture that fills neither more columns nor more lines, below a head of its own."""
    left = lines - AROUND
    rows = max(1, min(len(picture.vms), left - left // EVENTS_SHARE))
    events = picture.events[-max(1, left - rows) :]
    return Group(
        _line(f"{picture.at.astimezone():%H:%M:%S}  {printable(head)}", "bold"),
        _line(_state(picture), "bold red" if picture.away else ""),
        Text(),
        _table(picture, rows, columns),
        Text(),
        *(_line(brief(event)) for event in events),
    )


def _line(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _state(picture: Picture) -> str:
    if picture.away:
        return f"out of date: {printable(picture.away)}"
    if not picture.vms:
        return "no VM is under way"
    phases = Counter(word(vm.phase) or "" for vm in picture.vms)
    counted = ", ".join(f"{n} {phase}" for phase, n in phases.most_common())
    return f"{len(picture.vms)} VMs: {counted}" if len(picture.vms) != 1 else f"1 VM: {counted}"


def _table(picture: Picture, rows: int, columns: int) -> Table:
    named, bounded = columns >= NAMED_COLUMNS, columns < UNBOUNDED_WIDTH
    table = Table(box=None, pad_edge=False, expand=bounded, header_style="bold")
    table.add_column("VM", no_wrap=True, overflow="ellipsis")
    if named:
        table.add_column("NAME", no_wrap=True, overflow="ellipsis")
    table.add_column("PHASE", no_wrap=True)
    for name in ("AGE", "CPU", "MEMORY"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("PROGRESS", no_wrap=True, overflow="ellipsis", ratio=1)
    busiest = sorted(picture.vms, key=lambda vm: (-_cpu(picture, vm), vm.vm_id))
    shown = busiest if len(busiest) <= rows else busiest[: rows - 1]
    for vm in shown:
        table.add_row(*map(Text, _cells(picture, vm, named=named)))
    if len(shown) < len(busiest):
        table.add_row(Text(f"and {len(busiest) - len(shown)} more"))
    return table


def _cells(picture: Picture, vm: v1.Vm, *, named: bool) -> Iterator[str]:
    yield printable(vm.vm_id)
    if named:
        yield printable(vm.name)
    yield phase_and_contact(vm)
    yield age(vm, picture.at)
    yield from _used(picture.usage.get(vm.vm_id))
    yield printable(progress_or_end(vm))


def _used(usage: Usage | None) -> tuple[str, str]:
    if usage is None:
        return UNKNOWN, UNKNOWN
    return f"{usage.cpu:.0%}", human_size(usage.memory_bytes)


def _cpu(picture: Picture, vm: v1.Vm) -> float:
    usage = picture.usage.get(vm.vm_id)
    return usage.cpu if usage else 0.0
