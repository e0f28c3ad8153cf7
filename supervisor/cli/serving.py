"""`serve`: run the daemon in this process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from supervisor.cli.daemon_log import set_up
from supervisor.cli.exits import FULL, ExitCode, Failure
from supervisor.cli.loading import collect_for_long, without_collecting
from supervisor.cli.options import json_option
from supervisor.cli.output import print_json
from supervisor.cli.settings import settings_options
from supervisor.config import Config
from supervisor.config.loading import Loaded

logger = logging.getLogger(__name__)


@click.command()
@settings_options
@json_option
def serve(*, loaded: Loaded, as_json: bool) -> None:
    """Run the daemon until Ctrl-C or SIGTERM.

    VMs outlive the daemon, and the next one on the same state directory attends to them again. Once
    it serves, one line on stdout says where. Each option may also stand in a file or a variable;
    `chronovisor config show` tells what holds.

    \b
    Example:
      chronovisor serve --state-dir ~/chronovisor
    """
    config = loaded.resolved.config
    set_up(config.log)
    for warning in loaded.warnings:
        logger.warning("%s", warning)
    _run(config, as_json=as_json)
    logger.info("the daemon has stopped")


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
            unix = ", ".join(filter(None, (f"unix:{ready.unix}", ready.listen)))
            where = f"{unix}, {tcp}"
            click.echo(f"serving on {where}{faults}")

    collect_for_long()
    with _explained(config.state_dir, CannotServe, EventLogError, OSError):
        daemon.main(config, announce)


@contextmanager
def _explained(state_dir: Path, *expected: type[Exception]) -> Iterator[None]:
    """Turn what keeps a daemon from running into a sentence, also out of nurseries in nurseries."""
    try:
        yield
    except Exception as error:
        first: BaseException = error
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        if isinstance(first, expected):
            raise Failure(ExitCode.HOST_TROUBLE, last_word(first, state_dir)) from None
        raise
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


def last_word(error: Exception, state_dir: Path) -> str:
    """Return what a daemon says that ends; a full disk is named, which the system does not do."""
    if isinstance(error, OSError) and error.errno in FULL:
        why = (error.strerror or "it is full").lower()
        return f"{error.filename or state_dir}: {why}; make room on that disk, and start again"
    return str(error)
