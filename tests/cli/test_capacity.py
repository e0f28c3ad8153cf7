"""The limits that `serve` is told: what it takes, and what they come to."""

import click
import pytest
from click.testing import CliRunner

from supervisor.cli.capacity import capacity_options, port_range
from supervisor.config import Capacity, Networking, PortRange


@click.command()
@capacity_options
def command(*, capacity: Capacity) -> None:
    click.echo(repr(capacity))


@pytest.mark.parametrize(
    ("options", "capacity"),
    [
        ((), Capacity()),
        (
            ("--max-running", "1", "--max-vms", "2", "--max-vms-per-principal", "3"),
            Capacity(max_running=1, max_vms=2, max_vms_per_principal=3),
        ),
        (("--forward-ports", "1-65535"), Capacity(forward_ports=PortRange(1, 65_535))),
        (("--allow-unrestricted-network",), Capacity(networking=Networking.UNRESTRICTED)),
    ],
)
def test_the_options_come_to_one_value(options: tuple[str, ...], capacity: Capacity) -> None:
    result = CliRunner().invoke(command, options)
    assert result.stdout == f"{capacity!r}\n"


@pytest.mark.parametrize(
    "written", ["", "1", "0-9", "9-1", "1-65536", "1-2-3", "a-b", "-1-5", "٣-٩"]
)
def test_what_is_no_range_of_ports_is_refused(written: str) -> None:
    with pytest.raises(click.BadParameter, match="it takes LOW-HIGH with ports of 1 to 65535"):
        port_range(written)


@pytest.mark.parametrize("option", ["--max-running", "--max-vms", "--max-vms-per-principal"])
def test_a_limit_of_nothing_is_refused(option: str) -> None:
    result = CliRunner().invoke(command, (option, "0"))
    assert result.exit_code == 2
    assert option in result.stderr
