"""The commands that change one VM: start, stop, kill, pause, resume, reset, delete."""

from collections.abc import Callable, Coroutine
from typing import Any

import click
from chronovisor_api import Client, v1

from supervisor.cli.connection import reach
from supervisor.cli.messages import vm_json, word
from supervisor.cli.options import (
    Access,
    connection_options,
    duration,
    json_option,
    pass_access,
)
from supervisor.cli.output import print_json, printable
from supervisor.cli.vm_ids import vm_argument
from supervisor.vm.ranges import STOP_GRACE_TAKES
from supervisor.vm.rules import check_stop_grace

PHASE = "{vm} is {phase}"
"""Told of an order that shows in the phase as soon as it is durable: a stop, or a kill."""


def grace_period(written: str) -> int:
    """Return a grace in milliseconds; it has the bounds that the daemon keeps."""
    grace_ms = duration(written)
    if check_stop_grace(grace_ms):
        raise click.BadParameter(f"got {written!r}; it takes {STOP_GRACE_TAKES}")
    return grace_ms


Order = Callable[[Client], Coroutine[Any, Any, v1.Vm]]


def _give(access: Access, order: Order, *, as_json: bool, told: str = PHASE) -> None:
    with reach(access) as daemon:
        vm = daemon.call(order(daemon.client))
    if as_json:
        print_json(vm_json(vm))
    else:
        click.echo(told.format(vm=printable(vm.vm_id), phase=word(vm.phase)))


@click.command()
@vm_argument()
@click.option(
    "--grace",
    type=grace_period,
    metavar="DURATION",
    help="What the guest gets to end by itself.  [default: stop_grace of the manifest]",
)
@json_option
@connection_options
@pass_access
def stop(access: Access, *, vm_id: str, grace: int | None, as_json: bool) -> None:
    """End a VM in good order.

    The guest is asked, then QEMU, then its process. Returns once the order is durable; the end
    follows within the grace.

    \b
    Example:
      chronovisor stop iris-1 --grace 30s
    """
    _give(access, lambda client: client.stop(vm_id, grace_ms=grace), as_json=as_json)


def _plain(
    name: str,
    method: Callable[[Client, str], Coroutine[Any, Any, v1.Vm]],
    help_text: str,
    told: str = PHASE,
) -> click.Command:
    """Return a command that takes a VM and nothing else."""

    @click.command(name, help=f"{help_text}\n\n\b\nExample:\n  chronovisor {name} iris-1")
    @vm_argument()
    @json_option
    @connection_options
    @pass_access
    def command(access: Access, *, vm_id: str, as_json: bool) -> None:
        _give(access, lambda client: method(client, vm_id), as_json=as_json, told=told)

    return command


start = _plain(
    "start",
    Client.start,
    "Launch a VM once more that has ended, or that waits for its next launch.",
)
kill = _plain("kill", Client.kill, "End a VM at once, without asking the guest.")
pause = _plain(
    "pause",
    Client.pause,
    "Freeze a VM's CPUs. Its deadlines keep running.",
    told="a pause of {vm} is ordered",
)
resume = _plain(
    "resume",
    Client.resume,
    "Let a paused VM run on.",
    told="a resumption of {vm} is ordered",
)
reset = _plain(
    "reset",
    Client.reset,
    "Press a VM's reset button: the guest boots again.",
    told="a reset of {vm} is ordered",
)
delete = _plain(
    "delete",
    Client.delete,
    "Remove the files of a VM that has ended. Its events stay in the log.",
    told="{vm} is being deleted; its history stays in the log",
)
