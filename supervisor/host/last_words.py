"""What is left of a process that has ended: its status and the last lines of its logs."""

from pathlib import Path

from supervisor.host.logs import tail
from supervisor.host.process import ExitStatus
from supervisor.vm import layout
from supervisor.vm.observations import ExitEvidence


def exit_evidence(status: ExitStatus, launch_directory: Path) -> ExitEvidence:
    """Return the evidence of an exit; nothing where there is nothing."""
    return ExitEvidence(
        exit_code=status.exit_code,
        signal=status.signal,
        stderr=tail(launch_directory / layout.STDERR_LOG),
        console=tail(launch_directory / layout.CONSOLE_LOG),
    )
