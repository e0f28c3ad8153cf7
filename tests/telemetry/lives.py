"""Events of VMs, as the log would hold them."""

import msgspec

from eventlog import Record

REQUEST = "a" * 32
TRACE = "b" * 32
CALLER = "c" * 16
SAMPLED = f"00-{TRACE}-{CALLER}-01"
SECOND = 1_000_000_000

COMPLETED = (
    "vm.submitted.v1",
    "vm.launch-intended.v1",
    "vm.qemu-spawned.v1",
    "vm.qmp-ready.v1",
    "vm.guest-started.v1",
    "vm.agent-ready.v1",
    "vm.computation-started.v1",
    "vm.computation-finished.v1",
    "vm.stop-ordered.v1",
    "vm.process-exited.v1",
    "vm.result-recorded.v1",
    "vm.stopped.v1",
)


def event(
    position: int,
    tag: str,
    *,
    vm_id: str = "a",
    traceparent: str = "",
    principal: str = "",
    **facts: object,
) -> Record:
    """An event that was recorded in second ``position``."""
    return Record(
        position=position,
        stream=f"vm/{vm_id}",
        version=position,
        type=tag,
        event_id=f"{position:032x}",
        recorded_at=position * SECOND,
        epoch=1,
        causation_id=REQUEST,
        correlation_id=REQUEST,
        traceparent=traceparent,
        tenant="default",
        principal=principal,
        ext={},
        payload=msgspec.msgpack.encode(facts),
    )


def life(*tags: str, traceparent: str = "") -> list[Record]:
    """The events of one VM, one a second."""
    return [
        event(number, tag, traceparent=traceparent if number == 1 else "")
        for number, tag in enumerate(tags, 1)
    ]
