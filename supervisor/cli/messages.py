"""The wire's messages as the JSON that commands print.

The JSON has every key in every object, with null where there is nothing, so that a script may rely
on it. Enum values are spelled as in the log: ``computation-failed``.
"""

import base64
import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec
from chronovisor_api import v1

if TYPE_CHECKING:
    from eventlog import Record

Json = dict[str, Any]


def vm_json(vm: v1.Vm) -> Json:
    """Return what `show` and `list` tell of a VM."""
    return {
        "vm_id": vm.vm_id,
        "name": vm.name,
        "phase": word(vm.phase),
        "outcome": word(vm.outcome),
        "exit_code": vm.exit_code,
        "result": vm.result and {"sha256": vm.result.sha256, "size": vm.result.size},
        "detail": vm.detail,
        "launch": vm.launch,
        "pid": vm.pid,
        "containment": vm.containment and _containment_json(vm.containment),
        "progress": vm.progress
        and {"fraction": vm.progress.fraction, "message": vm.progress.message},
        "silent_since": vm.contact and instant(vm.contact.silent_since),
        "labels": vm.labels,
        "tenant": vm.tenant,
        "principal": vm.principal,
        "manifest_sha256": vm.manifest_sha256,
        "created_at": instant(vm.created_at),
        "started_at": instant(vm.started_at),
        "ended_at": instant(vm.ended_at),
        "ttl_deadline": instant(vm.ttl_deadline),
        "suspended_since": instant(vm.suspended_since),
        "queue_position": vm.queue_position,
        "forwards": [_forward_json(forward) for forward in vm.forwards],
        "inputs": [_input_json(each) for each in vm.inputs],
        "inputs_deadline": instant(vm.inputs_deadline),
        "restarts": vm.restarts,
        "restart_at": instant(vm.restart_at),
        "previous_launch": vm.previous_launch and _previous_json(vm.previous_launch),
        "launch_state": vm.launch_state and _launch_json(vm.launch_state),
        "version": vm.version,
    }


def _input_json(each: v1.Input) -> Json:
    came = {"sha256": each.sha256, "size": each.size} if each.sha256 else None
    return {"provider": each.provider, "id": each.id, "came": came}


def _launch_json(state: v1.LaunchState) -> Json:
    evidence, claims = state.evidence or v1.Evidence(), state.claims
    return {
        "stage": word(state.stage),
        "evidence": (evidence.sev and _sev_json(evidence.sev))
        or (evidence.snp and {"policy": evidence.snp.policy, "host_data": evidence.snp.host_data}),
        "claims": claims
        and {
            "firmware_sha256": claims.firmware_sha256,
            "kernel_sha256": claims.kernel_sha256,
            "initrd_sha256": claims.initrd_sha256,
            "command_line_sha256": claims.command_line_sha256,
            "vcpus": claims.vcpus,
            "vmsa_variant": word(claims.vmsa_variant),
            "digest": claims.digest or None,
            "secret_room": claims.secret_room,
        },
        "deadline": instant(state.deadline),
        "packet_sha256": state.packet_sha256 or None,
        "session_sha256": state.session_sha256 or None,
    }


def _sev_json(evidence: v1.SevEvidence) -> Json:
    return {
        "measurement": base64.b64encode(evidence.measurement).decode(),
        "api_major": evidence.api_major,
        "api_minor": evidence.api_minor,
        "build": evidence.build,
        "policy": evidence.policy,
    }


def _containment_json(held: v1.Containment) -> Json:
    limits = dict(limit.split(" ", 1) for limit in held.limits)
    return {"user": held.user, "cgroup": held.cgroup or None, "limits": limits}


def _forward_json(forward: v1.HostForward) -> Json:
    return {
        "host_port": forward.host_port,
        "guest_port": forward.guest_port,
        "protocol": word(forward.protocol),
    }


def _previous_json(previous: v1.PreviousLaunch) -> Json:
    return {
        "launch": previous.launch,
        "outcome": word(previous.outcome),
        "detail": previous.detail,
        "ended_at": instant(previous.ended_at),
    }


def event_json(event: v1.Event) -> Json:
    """Return an event with its data as an object."""
    return {
        "log_id": event.log_id,
        "node_id": event.node_id,
        "position": event.position,
        "stream": event.stream,
        "version": event.version,
        "type": event.type,
        "time": instant(event.time),
        "event_id": event.event_id,
        "causation_id": event.causation_id,
        "correlation_id": event.correlation_id,
        "traceparent": event.traceparent,
        "tenant": event.tenant,
        "principal": event.principal,
        "epoch": event.epoch,
        "data": msgspec.json.decode(event.data_json or "{}"),
    }


def record_json(record: "Record") -> Json:
    """Return what `events` prints, without the ids of log and node, which a record does not say."""
    from supervisor.api.wire_events import from_record

    event = event_json(from_record(record, log_id="", node_id=""))
    return {key: value for key, value in event.items() if key not in {"log_id", "node_id"}}


def word(member: Enum) -> str | None:
    """Return an enum's value as the log spells it; None for UNSPECIFIED."""
    name = member.name or ""
    return None if name == "UNSPECIFIED" else name.lower().replace("_", "-")


def instant(time: datetime.datetime | None) -> str | None:
    """Return a time in RFC 3339, in UTC."""
    if time is None:
        return None
    return time.astimezone(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def instant_of(recorded_at: int) -> str | None:
    """Return a time in nanoseconds since 1970 in RFC 3339, in UTC; None for 0."""
    if not recorded_at:
        return None
    epoch = datetime.datetime.fromtimestamp(0, datetime.UTC)
    return instant(epoch + datetime.timedelta(microseconds=recorded_at // 1000))
