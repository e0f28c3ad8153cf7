"""The tokens that were given to clients: whether the daemon could read them."""

from collections.abc import Iterator

from supervisor.access.token_file import read_grants
from supervisor.api.doors import tokens_file
from supervisor.config import Config
from supervisor.doctor.finding import Finding, fault, ok
from supervisor.secret_file import SecretUnfit
from supervisor.state_directory import StateDirectory

SUBJECT = "tokens"


def look_at_tokens(config: Config) -> Iterator[Finding]:
    """Yield who has a token, if there is a file of them."""
    path = tokens_file(config, StateDirectory(config.state_dir))
    try:
        names = len(read_grants(path).grants)
    except NotADirectoryError:  # which is a finding of the state directory
        return
    except SecretUnfit as why:
        says, _, fix = str(why).partition("; ")
        yield fault(SUBJECT, says, fix or "chmod 600, or put a file of tokens there")
        return
    if names:
        yield ok(SUBJECT, f"{path} lets {names} principal{'' if names == 1 else 's'} in")
