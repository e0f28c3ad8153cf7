"""`host`: how this life of the daemon stands, and what on the host needs an operator's eye."""

import click

from supervisor.admission import events as admission
from supervisor.cli.connection import Daemon, reach
from supervisor.cli.drawing import print_facts
from supervisor.cli.messages import Json, event_json
from supervisor.cli.options import Access, connection_options, json_option, pass_access
from supervisor.cli.output import print_json
from supervisor.cli.sentences import local_time

STARTED, RECOVERED, FOUND, ENDED = (
    admission.TAGS[kind]
    for kind in (
        admission.DaemonStarted,
        admission.VmsRecovered,
        admission.OrphanFound,
        admission.OrphanEnded,
    )
)


@click.command()
@json_option
@connection_options
@pass_access
def host(access: Access, *, as_json: bool) -> None:
    """Show how the daemon stands: its start, silent VMs, unattended ones, processes of no VM.

    \b
    Example:
      chronovisor host
    """
    with reach(access) as daemon:
        told = _told(daemon)
    if as_json:
        print_json(told)
    else:
        print_facts(_facts(told))


def _told(daemon: Daemon) -> Json:
    """Return what the log says of this life of the daemon."""
    life: list[Json] = []
    types = (STARTED, RECOVERED, FOUND, ENDED)
    for event in daemon.stream(daemon.client.history(types=types)):
        if event.type == STARTED:
            life = []
        life.append(event_json(event))
    by_type: dict[str, list[Json]] = {kind: [] for kind in types}
    for each in life:
        by_type[each["type"]].append(each)
    ended = {each["data"]["pid"] for each in by_type[ENDED]}
    vms = daemon.stream(daemon.client.list())
    started = by_type[STARTED][-1] if by_type[STARTED] else {"time": None, "data": None}
    return {
        "started": started["time"],
        "daemon": started["data"],
        "recovered": by_type[RECOVERED][-1]["data"] if by_type[RECOVERED] else None,
        "unattended": (started["data"] or {}).get("unattended", []),
        "silent": [vm.vm_id for vm in vms if vm.contact and vm.contact.silent_since],
        "orphans": [e["data"] for e in by_type[FOUND] if e["data"]["pid"] not in ended],
    }


def _facts(told: Json) -> dict[str, str]:
    daemon, recovered = told["daemon"] or {}, told["recovered"]
    return {
        "daemon": f"version {daemon.get('version', '?')}, process {daemon.get('pid', '?')}",
        "started": f"{local_time(told['started']):%Y-%m-%d %H:%M:%S}" if told["started"] else "",
        "QEMU": daemon.get("qemu", ""),
        "came from node": daemon.get("moved_from", ""),
        "VMs at its start": _recovery(recovered) if recovered else "",
        "unattended VMs": " ".join(told["unattended"]),
        "silent VMs": " ".join(told["silent"]),
        "orphans": "\n".join(_orphan(orphan) for orphan in told["orphans"]),
    }


def _recovery(recovered: Json) -> str:
    return "{adopted} attended to again, {silent} silent, {gone} gone".format_map(recovered)


def _orphan(orphan: Json) -> str:
    claim = f"launch {orphan['launch']} of {orphan['vm_id']}" if orphan["vm_id"] else "no VM"
    evidence = ", ".join(orphan["evidence"])
    return f"process {orphan['pid']} ({claim}), {orphan['verdict']}: {evidence}"
