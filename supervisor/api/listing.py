"""Which VMs make up one page of a list."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from chronovisor_api import v1

from supervisor.api import wire
from supervisor.api.refusals import denied
from supervisor.vm.commands import DenyReason, FieldViolation
from supervisor.vm.rules import check_vm_id
from supervisor.vm.state import Phase, VmState

PAGE_DEFAULT = 100
PAGE_MOST = 1000
"""About a megabyte of messages, below every client's default limit."""


def page(
    states: Iterable[VmState], request: v1.ListVmsRequest, present: Callable[[VmState], v1.Vm]
) -> v1.ListVmsResponse:
    """Return one page of ``states``, which are sorted by id. Raises CommandDenied.

    A page's token is the id that it follows, so a page begins where it should even when VMs came
    and went in between.
    """
    _check(request)
    size = request.page_size or PAGE_DEFAULT
    chosen = list(islice(_wanted(states, request), size + 1))
    return v1.ListVmsResponse(
        vms=[present(state) for state in chosen[:size]],
        next_page_token=chosen[size - 1].vm_id if len(chosen) > size else "",
    )


def _wanted(states: Iterable[VmState], request: v1.ListVmsRequest) -> Iterator[VmState]:
    phases = frozenset(wire.phases(request.phases))
    labels = request.labels.items()
    for state in states:
        if (
            state.vm_id > request.page_token
            and state.phase is not Phase.DELETED
            and (not phases or state.phase.name in phases)
            and labels <= state.manifest.labels.items()
        ):
            yield state


def _check(request: v1.ListVmsRequest) -> None:
    faults = []
    if request.page_size > PAGE_MOST:
        takes = f"got {request.page_size}; it takes at most {PAGE_MOST}"
        faults.append(FieldViolation("page_size", takes))
    if request.page_token and check_vm_id(request.page_token):
        faults.append(FieldViolation("page_token", "is not one that this service gave"))
    if faults:
        raise denied(DenyReason.INVALID_ARGUMENT, faults)
