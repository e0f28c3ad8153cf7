"""`serve`: run the daemon in this process."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from supervisor.cli.capacity import capacity_options
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.loading import without_collecting
from supervisor.cli.options import (
    CATALOGUE_VARIABLE,
    Access,
    json_option,
    loopback,
    pass_access,
    state_dir_option,
)
from supervisor.cli.output import note, print_json
from supervisor.config import (
    GRPC_PORT,
    HTTP_PORT,
    LOOPBACK,
    QEMU_OWN_USER,
    QEMU_SHARED_USER,
    WEBSOCKET_PORT,
    Address,
    Capacity,
    Config,
    default_catalogue,
)


@click.command()
@state_dir_option
@click.option(
    "--grpc",
    type=loopback,
    metavar="HOST:PORT",
    default=f"{LOOPBACK}:{GRPC_PORT}",
    show_default=True,
    help="Where gRPC listens besides the Unix socket; port 0 takes a free one.",
)
@click.option(
    "--http",
    type=loopback,
    metavar="HOST:PORT",
    default=f"{LOOPBACK}:{HTTP_PORT}",
    show_default=True,
    help="Where HTTP listens, with health and metrics; port 0 takes a free one.",
)
@click.option(
    "--ws",
    type=loopback,
    metavar="HOST:PORT",
    default=f"{LOOPBACK}:{WEBSOCKET_PORT}",
    show_default=True,
    help="Where the WebSocket of events listens; port 0 takes a free one.",
)
@click.option(
    "--catalogue",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=CATALOGUE_VARIABLE,
    help=f"Directory with the guests that manifests may name.  [env: {CATALOGUE_VARIABLE}; "
    "default: where `chronovisor guest build` builds]",
)
@click.option(
    "--qemu-user",
    metavar="NAME",
    help="When root runs the daemon: the user that QEMU runs as.  "
    f"[default: {QEMU_OWN_USER}, or {QEMU_SHARED_USER} where there is no such user]",
)
@click.option(
    "--set-aside",
    metavar="ID",
    multiple=True,
    help="Leave this VM as it is, unattended, where attending to it ends the daemon.",
)
@capacity_options
@click.option("--stop-vms", is_flag=True, help="Stop the VMs together with the daemon.")
@click.option(
    "--fault-plan",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Make the daemon fail as FILE says, to test its clients. Never for real work.",
)
@json_option
@pass_access
def serve(
    access: Access,
    *,
    grpc: Address,
    http: Address,
    ws: Address,
    catalogue: Path | None,
    qemu_user: str | None,
    set_aside: tuple[str, ...],
    capacity: Capacity,
    stop_vms: bool,
    fault_plan: Path | None,
    as_json: bool,
) -> None:
    """Run the daemon until Ctrl-C or SIGTERM.

    VMs outlive the daemon, and the next one on the same state directory attends to them again. Once
    it serves, one line on stdout says where.

    \b
    Example:
      chronovisor serve --state-dir ~/chronovisor
    """
    config = Config(
        state_dir=access.state_dir,
        catalogue=catalogue or default_catalogue(os.environ, os.geteuid()),
        grpc=grpc,
        http=http,
        websocket=ws,
        stop_vms=stop_vms,
        set_aside=frozenset(set_aside),
        qemu_user=qemu_user,
        capacity=capacity,
        fault_plan=fault_plan,
    )
    _run(config, as_json=as_json)
    note("the daemon has stopped")


def _run(config: Config, *, as_json: bool) -> None:
    # Only this command needs the daemon; the others start twice as fast without.
    with without_collecting():
        from eventlog import EventLogError
        from supervisor import daemon
        from supervisor.cannot_serve import CannotServe

    def announce(ready: daemon.Ready) -> None:
        if as_json:
            print_json(ready)
        else:
            faults = f", WITH FAULTS of plan {ready.fault_plan}" if ready.fault_plan else ""
            tcp = f"gRPC {ready.grpc}, HTTP {ready.http}, events {ready.websocket}"
            where = f"unix:{ready.unix}, {tcp}"
            click.echo(f"serving on {where}{faults}")

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("grpclib").setLevel(logging.WARNING)  # INFO tells of every client that leaves
    with _explained(CannotServe, EventLogError, OSError):
        daemon.main(config, announce)


@contextmanager
def _explained(*expected: type[Exception]) -> Iterator[None]:
    """Turn what keeps a daemon from running into a sentence, also out of nurseries in nurseries."""
    try:
        yield
    except Exception as error:
        first: BaseException = error
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        if isinstance(first, expected):
            raise Failure(ExitCode.HOST_TROUBLE, str(first)) from None
        raise
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
