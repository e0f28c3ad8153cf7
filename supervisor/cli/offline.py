"""Commands that read the log on disk, without a daemon: the moments they take, how they fail."""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.options import Access, F

if TYPE_CHECKING:
    from supervisor.past.moment import Moment


def existing_log(access: Access) -> Path:
    """Return the directory of the log. Raises Failure where there is none."""
    from supervisor.state_directory import (
        StateDirectory,
        StateDirectoryUnfit,
        check_log_is_there,
    )

    directory = access.log_directory
    try:
        check_log_is_there(StateDirectory(access.state_dir))
    except StateDirectoryUnfit as error:
        raise Failure(ExitCode.LOG_DAMAGED, str(error)) from None
    if not directory.is_dir():
        raise Failure(
            ExitCode.NOT_FOUND,
            f"there is no log in {directory}: name the daemon's directory with --state-dir",
        )
    return directory


def moment(written: str) -> "Moment":
    """Return the moment of the log that an argument names."""
    from supervisor.past.moment import MOMENT_TAKES, parse_moment

    try:
        return parse_moment(written, datetime.datetime.now(datetime.UTC))
    except (ValueError, OverflowError):
        raise click.BadParameter(f"got {written!r:.80}; it takes {MOMENT_TAKES}") from None


def as_of_option(command: F) -> F:
    """Let a command tell what was, from the log on disk."""
    return click.option(
        "--as-of",
        type=moment,
        metavar="N|TIME",
        help="What was after position N, or at a time (2026-05-01T10:00, 10m ago is 10m); "
        "reads the log on disk, without a daemon.",
    )(command)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what may be wrong with a log, or with a question about it, into one sentence."""
    from eventlog import CorruptLog, EventLogError, ForeignSegment, PositionInFuture
    from eventlog.errors import EvidenceRefused
    from supervisor.past.causes import NoSuchEvent
    from supervisor.past.changes import MomentsReversed
    from supervisor.past.states import VmNotThere, VmUnreadable
    from supervisor.replay import ReplayError

    try:
        yield
    except (CorruptLog, ForeignSegment, EvidenceRefused) as damage:
        raise Failure(ExitCode.LOG_DAMAGED, str(damage)) from None
    except PositionInFuture as error:
        end = f"position {error.after} is not in the log, which ends at {error.head}"
        raise Failure(ExitCode.NOT_FOUND, end) from None
    except (VmNotThere, NoSuchEvent) as error:
        raise Failure(ExitCode.NOT_FOUND, str(error)) from None
    except MomentsReversed as error:
        raise Failure(ExitCode.USAGE, str(error)) from None
    except (VmUnreadable, ReplayError, EventLogError) as error:
        raise Failure(ExitCode.HOST_TROUBLE, str(error)) from None
