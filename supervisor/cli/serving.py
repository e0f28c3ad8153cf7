"""`serve`: run the daemon in this process."""

import logging
import os
from pathlib import Path

import click

from supervisor.cli.exits import ExitCode, Failure
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
    LOOPBACK,
    WEBSOCKET_PORT,
    Address,
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
@click.option("--stop-vms", is_flag=True, help="Stop the VMs together with the daemon.")
@json_option
@pass_access
def serve(
    access: Access,
    *,
    grpc: Address,
    ws: Address,
    catalogue: Path | None,
    stop_vms: bool,
    as_json: bool,
) -> None:
    """Run the daemon until Ctrl-C or SIGTERM.

    VMs outlive the daemon, and the next one on the same state directory attends to them again. Once
    it serves, one line on stdout says where.

    \b
    Example:
      chronovisor serve --state-dir ~/chronovisor
    """
    from eventlog import EventLogError
    from supervisor import daemon
    from supervisor.state_directory import CannotStart

    def announce(ready: daemon.Ready) -> None:
        if as_json:
            print_json(ready)
        else:
            click.echo(f"serving on unix:{ready.unix}, gRPC {ready.grpc}, events {ready.websocket}")

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    config = Config(
        state_dir=access.state_dir,
        catalogue=catalogue or default_catalogue(os.environ, os.geteuid()),
        grpc=grpc,
        websocket=ws,
        stop_vms=stop_vms,
    )
    try:
        daemon.main(config, announce)
    except* (CannotStart, EventLogError, OSError) as errors:
        raise _refusal(errors) from None
    note("the daemon has stopped")


def _refusal(errors: BaseExceptionGroup[Exception]) -> Failure:
    """Return the first of errors that may sit in nurseries within nurseries."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return Failure(ExitCode.HOST_TROUBLE, str(error))
