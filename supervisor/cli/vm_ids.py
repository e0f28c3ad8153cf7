"""The id by which a command is told a VM: at a Tab, a shell offers those that the daemon has."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from chronovisor_api import Client, v1
from click.shell_completion import CompletionItem

from supervisor.cli.connection import reach
from supervisor.cli.exits import Failure
from supervisor.cli.messages import word
from supervisor.cli.options import access_of
from supervisor.cli.output import printable
from supervisor.vm.rules import check_vm_id

TAB_S = 2.0
"""Who pressed Tab waits no longer; a daemon answers within milliseconds."""

F = TypeVar("F", bound=Callable[..., Any])


def vm_argument(metavar: str = "ID", *, required: bool = True) -> Callable[[F], F]:
    """Return the argument ``vm_id`` of a command."""
    return click.argument("vm_id", metavar=metavar, required=required, shell_complete=known_vms)


def known_vms(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the VMs that a shell may offer: none if no daemon says which there are."""
    try:
        with reach(access_of(context)) as daemon:
            return daemon.call(_offered(daemon.client, incomplete), within_s=TAB_S)
    except (Failure, OSError):
        return []


async def _offered(client: Client, incomplete: str) -> list[CompletionItem]:
    return [_item(vm) async for vm in client.list() if _completes(vm.vm_id, incomplete)]


def _completes(vm_id: str, incomplete: str) -> bool:
    # The shell writes it into the command as it is, and the daemon may say anything.
    return vm_id.startswith(incomplete) and not check_vm_id(vm_id)


def _item(vm: v1.Vm) -> CompletionItem:
    return CompletionItem(vm.vm_id, help=printable(f"{vm.name}, {word(vm.phase)}"))
