"""The group of the `sev` commands."""

import click

from supervisor.cli.groups import Group
from supervisor.cli.sev import (
    digests,
    launches,
    orders,
    platforms,
    releasing,
    reports,
    sessions,
)


@click.group(cls=Group)
def sev() -> None:
    """Be the owner of a confidential guest (AMD SEV, SEV-ES, SEV-SNP).

    Run these on a machine that you trust, and not on the host. Those that decide over a launch
    reach the host's daemon with --connect; the others need none.
    docs/confidential.md tells the whole exchange.
    """


for command in (
    platforms.platform,
    platforms.verify_chain,
    sessions.session,
    digests.digest,
    launches.verify,
    launches.secret,
    releasing.release,
    orders.approve,
    orders.reject,
    orders.provide_session,
    orders.report,
    reports.verify_report,
):
    sev.add_command(command)
