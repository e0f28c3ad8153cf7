"""`provide`: a party brings its input to a computation."""

from pathlib import Path

import click
from chronovisor_api import v1

from supervisor.cli.connection import reach
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.messages import vm_json
from supervisor.cli.options import Access, connection_options, json_option, pass_access
from supervisor.cli.output import note, print_json, printable
from supervisor.cli.submitting import upload
from supervisor.cli.vm_ids import vm_argument


@click.command()
@vm_argument()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--provider", required=True, metavar="NAME", help="Who you are in the manifest.")
@click.option(
    "--id",
    "input_id",
    metavar="INPUT",
    help="Which input it is.  [default: the only one that is awaited from you]",
)
@json_option
@connection_options
@pass_access
def provide(
    access: Access, *, vm_id: str, file: Path, provider: str, input_id: str | None, as_json: bool
) -> None:
    """Bring an input that a computation awaits from a provider.

    The file is uploaded. With the last input the computation goes on. The same bytes may be brought
    again.

    \b
    Example:
      chronovisor provide iris-1 --provider Bob iris.csv
      chronovisor provide iris-1 --provider Alice --id algorithm iris.py
    """
    from supervisor.manifest.files import LocalFile, Unfit, survey

    try:
        surveyed = survey(LocalFile("FILE", file, None), lambda _: None)
    except Unfit as why:
        raise Failure(ExitCode.USAGE, str(why)) from None
    with reach(access) as daemon:
        chosen = input_id or _only_input(daemon.call(daemon.client.get(vm_id)), provider)
        upload(daemon, surveyed)
        brought = daemon.patient.provide(vm_id, surveyed.sha256, provider=provider, input_id=chosen)
        vm = daemon.call(brought)
    if as_json:
        print_json(vm_json(vm))
    else:
        note(f"{printable(vm_id)} has {printable(chosen)} of {printable(provider)}; {_rest(vm)}")


def _only_input(vm: v1.Vm, provider: str) -> str:
    mine = [each.id for each in vm.inputs if each.provider == provider]
    awaited = [each.id for each in vm.inputs if each.provider == provider and not each.sha256]
    if len(awaited) == 1 or len(mine) == 1:
        return (awaited or mine)[0]
    if not mine:
        raise Failure(ExitCode.USAGE, f"{vm.vm_id} awaits no input of {printable(provider)}")
    told = ", ".join(map(printable, awaited or mine))
    raise Failure(ExitCode.USAGE, f"say with --id which of your inputs it is: {told}")


def _rest(vm: v1.Vm) -> str:
    missing = sum(not each.sha256 for each in vm.inputs)
    return f"{missing} still missing" if missing else "nothing is missing"
