"""`doctor`: what `serve` with the same options would find on this host, and what to do about it."""

import logging
from collections import Counter

import click
import msgspec

from supervisor.cli.drawing import beside, is_lively, stdout_console
from supervisor.cli.exits import ExitCode
from supervisor.cli.options import json_option
from supervisor.cli.output import print_json, printable
from supervisor.cli.settings import settings_options
from supervisor.config.loading import Loaded
from supervisor.doctor import Finding, Level, Patient, examine

LEVEL_COLUMN = 9
SUBJECT_COLUMN = 17
COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.FAULT: "red"}


@click.command()
@settings_options
@json_option
@click.pass_context
def doctor(context: click.Context, *, loaded: Loaded, as_json: bool) -> None:
    """Examine this host as `serve` would find it, and tell what to mend.

    With the options of `serve` it looks at QEMU, accelerators, the state directory and its disk,
    the log, the clock, the catalogue and the ports. Nothing is changed, and a daemon that serves is
    not disturbed. Exits 1 when there is a fault.

    \b
    Example:
      chronovisor doctor
      chronovisor doctor --json --state-dir ~/chronovisor
    """
    # What the daemon would warn of at its start is a finding here.
    logging.basicConfig(handlers=[logging.NullHandler()])
    findings: list[Finding] = []
    for finding in examine(Patient(loaded.resolved.config, loaded.warnings)):
        findings.append(finding)
        if not as_json:
            _print(finding)
    found = Counter(finding.level for finding in findings)
    if as_json:
        print_json({"findings": findings, "faults": found[Level.FAULT]})
    else:
        click.echo(_summary(found))
    if found[Level.FAULT]:
        context.exit(ExitCode.COMPUTATION_FAILED)


def _print(finding: Finding) -> None:
    finding = msgspec.structs.replace(
        finding, says=printable(finding.says), fix=printable(finding.fix)
    )
    subject = f"{finding.subject:{SUBJECT_COLUMN}}"
    lines = beside(f"{finding.level.value:{LEVEL_COLUMN}}{subject}", finding.says)
    click.echo(_coloured(lines, finding.level))
    if finding.fix:
        click.echo(beside(f"{'  fix:':{LEVEL_COLUMN}}", finding.fix))


def _coloured(lines: str, level: Level) -> str:
    if not is_lively(stdout_console()):
        return lines
    word = level.value
    return click.style(word, fg=COLOURS[level], bold=level is not Level.OK) + lines[len(word) :]


def _summary(found: Counter[Level]) -> str:
    if not found[Level.FAULT] and not found[Level.WARNING]:
        return "All is well."
    count = {level: found[level] for level in (Level.FAULT, Level.WARNING)}
    told = (f"{n} {level.value}{'' if n == 1 else 's'}" for level, n in count.items() if n)
    return f"{' and '.join(told)}."
