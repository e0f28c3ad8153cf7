"""The VMs that a shell is offered at a Tab are those that can be."""

import click
import pytest
from chronovisor_api import v1

from supervisor.cli.options import Access
from supervisor.cli.vm_ids import known_vms
from tests.cli.conftest import answered
from tests.cli.peer import Peer


@pytest.mark.parametrize(
    "vm_id", ["$(touch pwned)", "iris;true", "iris\nfile,/", "iris\x1b[2J", "-i", "íris", ""]
)
def test_what_is_no_id_is_not_offered(vm_id: str, peer: Peer) -> None:
    for each in ("iris", vm_id):
        peer.supervisor.vms[each] = v1.Vm(vm_id=each, phase=v1.Phase.RUNNING)
    argument = click.Argument(["vm_id"])
    context = click.Context(click.Command("show"), obj=Access(peer.state_dir))
    offered = answered(lambda: known_vms(context, argument, ""))
    assert [item.value for item in offered] == ["iris"]
