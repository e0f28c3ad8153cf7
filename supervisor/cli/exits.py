"""How a command ends: the one table of exit codes, and the errors that carry them."""

import errno
from enum import IntEnum

import click
from grpclib.const import Status


class ExitCode(IntEnum):
    """Exit codes; scripts rely on them, so a number never changes its meaning."""

    DONE = 0
    COMPUTATION_FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    DENIED = 4
    NOT_FOUND = 5
    LOG_DAMAGED = 6
    HOST_TROUBLE = 7
    MALFORMED = 20
    UNTRUSTED = 21
    MISMATCH = 22
    WEAK_POLICY = 23
    OUTDATED = 24
    UNFIT = 25
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    TERMINATED = 143


MEANINGS = {
    ExitCode.DONE: "done; with --wait: the computation completed",
    ExitCode.COMPUTATION_FAILED: "the computation ended otherwise than completed; doctor: a fault",
    ExitCode.USAGE: "the command line or the manifest is wrong",
    ExitCode.UNREACHABLE: "the daemon is unreachable or does not answer in time",
    ExitCode.DENIED: "the daemon refused the request, or the token",
    ExitCode.NOT_FOUND: "there is no such VM, result or log",
    ExitCode.LOG_DAMAGED: "the log is damaged or was rewritten, or a proof does not hold",
    ExitCode.HOST_TROUBLE: "this host or the daemon failed: disk, rights, packages, a bug",
    ExitCode.MALFORMED: "sev: a certificate, measurement, report or key file is damaged",
    ExitCode.UNTRUSTED: "sev: a signature or the chain of certificates does not hold",
    ExitCode.MISMATCH: "sev: the measurement, or a value that was demanded, is another one",
    ExitCode.WEAK_POLICY: "sev: the policy allows the host what was demanded to be forbidden",
    ExitCode.OUTDATED: "sev: the platform's firmware or TCB is older than demanded",
    ExitCode.UNFIT: "sev: it cannot be measured, sealed a second time, or taken in by a guest",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
    ExitCode.CLOSED_PIPE: "the reader of the output went away (128 + SIGPIPE)",
    ExitCode.TERMINATED: "ended by SIGTERM, with the terminal as it was (128 + SIGTERM)",
}

OF_STATUS = {
    Status.INVALID_ARGUMENT: ExitCode.USAGE,
    Status.UNAVAILABLE: ExitCode.UNREACHABLE,
    Status.DEADLINE_EXCEEDED: ExitCode.UNREACHABLE,
    Status.CANCELLED: ExitCode.UNREACHABLE,
    Status.UNAUTHENTICATED: ExitCode.DENIED,
    Status.PERMISSION_DENIED: ExitCode.DENIED,
    Status.ALREADY_EXISTS: ExitCode.DENIED,
    Status.FAILED_PRECONDITION: ExitCode.DENIED,
    Status.RESOURCE_EXHAUSTED: ExitCode.DENIED,
    Status.OUT_OF_RANGE: ExitCode.DENIED,
    Status.ABORTED: ExitCode.UNREACHABLE,
    Status.NOT_FOUND: ExitCode.NOT_FOUND,
    Status.INTERNAL: ExitCode.HOST_TROUBLE,
    Status.DATA_LOSS: ExitCode.HOST_TROUBLE,
    Status.UNKNOWN: ExitCode.HOST_TROUBLE,
    Status.UNIMPLEMENTED: ExitCode.HOST_TROUBLE,
}
"""The exit code of a call that the daemon answered with an error (every status but OK)."""


FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says of a disk that takes no more; it names neither the disk nor the remedy."""


class Failure(click.ClickException):
    """A command cannot do what it was asked; the message says what to do about it."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance, too


class Unreachable(Failure):
    """No daemon answers."""

    def __init__(self, message: str) -> None:
        super().__init__(ExitCode.UNREACHABLE, message)


def in_words(error: OSError) -> str:
    """Return why the system refused something; of a full disk, also what to do about it."""
    reason = (error.strerror or str(error)).lower()
    return f"{reason}; make room on that disk, and try again" if error.errno in FULL else reason


def table() -> str:
    """Return the exit codes as `--help` shows them."""
    rows = (f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items())
    return "Exit codes:\n" + "\n".join(rows)
