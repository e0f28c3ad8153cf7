"""`submit`: a manifest file becomes a running computation."""

from collections.abc import Callable
from pathlib import Path

import click
from chronovisor_api import v1

from supervisor.cli.connection import Daemon, reach
from supervisor.cli.drawing import byte_progress, print_facts, step_progress
from supervisor.cli.exits import ExitCode
from supervisor.cli.manifests import MANIFEST, prepared
from supervisor.cli.messages import Json, event_json, vm_json
from supervisor.cli.options import Access, connection_options, json_option, pass_access
from supervisor.cli.output import note, print_json
from supervisor.cli.sentences import line, sentence
from supervisor.cli.vms import facts
from supervisor.cli.watching import until_ended
from supervisor.manifest import Upload
from supervisor.vm import events as ev

PROGRESS = ev.TAGS[ev.ProgressReported]


@click.command()
@click.argument("manifest", type=MANIFEST)
@click.option("--wait", is_flag=True, help="Wait for the end; exit 1 unless it completed.")
@click.option("--follow", is_flag=True, help="Print the events until the end; implies --wait.")
@click.option("--vm-id", metavar="ID", help="The id of the new VM.  [default: the daemon's choice]")
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Submitting again with the same key gives the same VM.  [default: random]",
)
@json_option
@connection_options
@pass_access
def submit(
    access: Access,
    *,
    manifest: Path,
    wait: bool,
    follow: bool,
    vm_id: str | None,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Run the computation that MANIFEST describes.

    Local files are uploaded first. Without --wait the id of the VM is printed and the computation
    runs on by itself; with --json the VM is, as one object.

    \b
    Example:
      chronovisor submit examples/iris/iris.toml --follow
      chronovisor submit examples/iris/iris.toml --wait --json
    """
    from supervisor.api.wire_manifest import from_manifest

    ready = prepared(manifest)
    with reach(access) as daemon:
        for file in ready.uploads:
            upload(daemon, file)
        submission = daemon.patient.submission(
            from_manifest(ready.manifest), idempotency_key=idempotency_key, vm_id=vm_id
        )
        answer = daemon.call(submission)
        vm = answer.vm or v1.Vm()
        if follow:
            _print_events(daemon, vm.vm_id, _print_line if not as_json else print_json)
        elif wait:
            _show_progress(daemon, vm.vm_id)
        else:
            _print_accepted(answer, as_json=as_json)
            return
        vm = daemon.call(daemon.patient.get(vm.vm_id))
    _print_end(vm, as_json=as_json)


def upload(daemon: Daemon, file: Upload) -> None:
    """Send a file that a manifest names."""
    with byte_progress(f"uploading {file.path.name}", file.size) as report:
        expect = v1.ArtifactExpectation(sha256=file.sha256, size=file.size)
        daemon.call(daemon.client.upload(file.path, expect=expect, told=report))


def _print_accepted(answer: v1.SubmitComputationResponse, *, as_json: bool) -> None:
    vm = answer.vm or v1.Vm()
    if as_json:
        print_json({**vm_json(vm), "reused": answer.reused})
        return
    click.echo(vm.vm_id)
    was = "known already" if answer.reused else "accepted"
    note(f"{was}; watch it with `chronovisor events --vm {vm.vm_id} --follow`")


def _print_line(event: Json) -> None:
    click.echo(line(event))


def _print_events(daemon: Daemon, vm_id: str, show: Callable[[Json], None]) -> None:
    for event in until_ended(daemon, vm_id):
        show(event_json(event))


def _show_progress(daemon: Daemon, vm_id: str) -> None:
    with step_progress(vm_id) as report:
        fraction = 0.0
        for event in until_ended(daemon, vm_id):
            facts = event_json(event)
            if event.type == PROGRESS:
                fraction = float(facts["data"].get("fraction", fraction))
            report(sentence(facts), fraction)


def _print_end(vm: v1.Vm, *, as_json: bool) -> None:
    if as_json:
        print_json(vm_json(vm))
    else:
        print_facts(facts(vm))
        if vm.result is not None:
            note(f"fetch it with `chronovisor result {vm.vm_id} -o {vm.vm_id}.tar`")
    if vm.outcome is not v1.Outcome.COMPLETED:
        raise click.exceptions.Exit(ExitCode.COMPUTATION_FAILED)
