"""The options of `serve` that say what VMs may have, together and of the network."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from supervisor.config import FORWARD_PORTS, MAX_RUNNING, MAX_VMS, Capacity, Networking, PortRange

PORT_MOST = 65_535

_RANGE = re.compile(r"(?P<low>[0-9]{1,5})-(?P<high>[0-9]{1,5})")


def port_range(written: str) -> PortRange:
    """Return ports such as "20000-20999"."""
    match = _RANGE.fullmatch(written)
    if match is not None:
        low, high = int(match["low"]), int(match["high"])
        if 1 <= low <= high <= PORT_MOST:
            return PortRange(low, high)
    raise click.BadParameter(f"got {written!r}; it takes LOW-HIGH with ports of 1 to {PORT_MOST}")


_OPTIONS = (
    click.option(
        "--max-running",
        type=click.IntRange(min=1),
        metavar="N",
        default=MAX_RUNNING,
        show_default=True,
        help="How many VMs have a QEMU at a time; others wait for their turn.",
    ),
    click.option(
        "--max-vms",
        type=click.IntRange(min=1),
        metavar="N",
        default=MAX_VMS,
        show_default=True,
        help="How many VMs there are at most; those that ended count until they are deleted.",
    ),
    click.option(
        "--max-vms-per-principal",
        type=click.IntRange(min=1),
        metavar="N",
        help="The same, of VMs that one principal submitted.  [default: no limit]",
    ),
    click.option(
        "--forward-ports",
        type=port_range,
        metavar="LOW-HIGH",
        default=str(FORWARD_PORTS),
        show_default=True,
        help="Ports of 127.0.0.1 that manifests may have forwarded into guests.",
    ),
    click.option(
        "--allow-unrestricted-network",
        is_flag=True,
        help="Let manifests ask for guests that reach what this host reaches, "
        "services on its loopback too.",
    ),
)


def capacity_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command be told its ``capacity``."""

    @wraps(command)
    def told(
        *arguments: object,
        max_running: int,
        max_vms: int,
        max_vms_per_principal: int | None,
        forward_ports: PortRange,
        allow_unrestricted_network: bool,
        **options: object,
    ) -> object:
        unrestricted = allow_unrestricted_network
        capacity = Capacity(
            max_running,
            max_vms,
            max_vms_per_principal,
            forward_ports,
            Networking.UNRESTRICTED if unrestricted else Networking.RESTRICTED,
        )
        return command(*arguments, capacity=capacity, **options)

    with_options: Callable[..., Any] = told
    for option in reversed(_OPTIONS):
        with_options = option(with_options)
    return with_options
