"""Which VMs make up one page of a list."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import msgspec
from chronovisor_api import v1

from supervisor.api import wire
from supervisor.api.grpc_encoding import encode
from supervisor.api.refusals import denied
from supervisor.vm.commands import DenyReason, FieldViolation
from supervisor.vm.rules import check_vm_id
from supervisor.vm.state import Phase, VmState

PAGE_DEFAULT = 100
PAGE_MOST = 1000
"""About a megabyte of messages, where manifests are as small as most are."""
PAGE_BYTES = 3 * 1024 * 1024
"""Where they are not, a page ends here: below every client's default limit of 4 MiB."""


class Wanted(msgspec.Struct, frozen=True):
    """Which VMs a client asks for; empty phases and labels are any, ``size`` 0 is the default."""

    phases: frozenset[str] = frozenset()
    labels: dict[str, str] = {}
    size: int = 0
    token: str = ""


def page(
    states: Iterable[VmState], request: v1.ListVmsRequest, present: Callable[[VmState], v1.Vm]
) -> bytes:
    """Return one page of ``states``, which are sorted by id, encoded. Raises CommandDenied."""
    phases = frozenset(wire.phases(request.phases))
    wanted = Wanted(phases, dict(request.labels), request.page_size, request.page_token)
    vms, token = choose(
        states, wanted, lambda state: encode(v1.ListVmsResponse(vms=[present(state)]))
    )
    # Messages one behind the other are one message (protobuf.dev, Encoding).
    return b"".join([*vms, encode(v1.ListVmsResponse(next_page_token=token))])


def choose(
    states: Iterable[VmState], wanted: Wanted, encoded: Callable[[VmState], bytes]
) -> tuple[list[bytes], str]:
    """Return one page of ``states``, which are sorted by id, encoded, and the next one's token.

    A page's token is the id that it follows, so a page begins where it should even when VMs came
    and went in between. Raises CommandDenied.
    """
    _check(wanted)
    size, room, last = wanted.size or PAGE_DEFAULT, PAGE_BYTES, ""
    chosen: list[bytes] = []
    for state in islice(_among(states, wanted), size + 1):
        vm = encoded(state)
        room -= len(vm)
        if len(chosen) == size or (chosen and room < 0):
            return chosen, last
        chosen.append(vm)
        last = state.vm_id
    return chosen, ""


def _among(states: Iterable[VmState], wanted: Wanted) -> Iterator[VmState]:
    labels = wanted.labels.items()
    for state in states:
        if (
            state.vm_id > wanted.token
            and state.phase is not Phase.DELETED
            and (not wanted.phases or state.phase.name in wanted.phases)
            and labels <= state.manifest.labels.items()
        ):
            yield state


def _check(wanted: Wanted) -> None:
    faults = []
    if wanted.size > PAGE_MOST:
        takes = f"got {wanted.size}; it takes at most {PAGE_MOST}"
        faults.append(FieldViolation("page_size", takes))
    if wanted.token and check_vm_id(wanted.token):
        faults.append(FieldViolation("page_token", "is not one that this service gave"))
    if faults:
        raise denied(DenyReason.INVALID_ARGUMENT, faults)
