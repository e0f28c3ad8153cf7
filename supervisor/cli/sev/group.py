"""The group of the `sev` commands."""

import click

from supervisor.cli.sev import digests, launches, platforms, reports, sessions


@click.group()
def sev() -> None:
    """Be the owner of a confidential guest (AMD SEV, SEV-ES, SEV-SNP).

    Run these on a machine that you trust, and not on the host: they need no daemon.
    docs/confidential.md tells the whole exchange.
    """


for command in (
    platforms.platform,
    platforms.verify_chain,
    sessions.session,
    digests.digest,
    launches.verify,
    launches.secret,
    reports.verify_report,
):
    sev.add_command(command)
