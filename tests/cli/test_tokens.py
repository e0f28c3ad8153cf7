"""`token`: who is given a role, how it is told, and how it ends."""

import json
from pathlib import Path

import pytest

from supervisor.access.token_file import read_grants
from supervisor.access.tokens import digest
from tests.cli.conftest import Run

CREATE = ("token", "create", "alice", "--role", "owner")


def test_a_token_is_printed_once_and_kept_as_a_digest(run: Run, state_dir: Path) -> None:
    made = run(*CREATE)
    assert made.exit_code == 0
    (token,) = made.stdout.splitlines()
    (grant,) = read_grants(state_dir / "tokens").grants
    assert grant.sha256 == digest(token)
    assert token not in run("token", "list").stdout


def test_a_name_has_one_token_at_a_time(run: Run) -> None:
    first = run(*CREATE).stdout
    again = run(*CREATE)
    assert (again.exit_code, "`chronovisor token revoke alice` first" in again.stderr) == (4, True)
    assert run("token", "revoke", "alice").exit_code == 0
    repeated = run("token", "revoke", "alice", "--json")
    assert json.loads(repeated.stdout) == {"name": "alice", "state": "revoked"}
    assert run(*CREATE).stdout != first


def test_the_list_tells_what_each_token_is_worth(run: Run) -> None:
    run(*CREATE, "--tenant", "red", "--expires", "30d")
    run("token", "create", "Bob", "--role", "party", "--certificate")
    run("token", "create", "late", "--role", "viewer", "--expires", "0s")
    run("token", "revoke", "Bob")
    rows = [json.loads(line) for line in run("token", "list", "--json").stdout.splitlines()]
    told = {row["name"]: (row["role"], row["tenant"], row["proof"], row["state"]) for row in rows}
    assert told == {
        "alice": ("owner", "red", "token", "valid"),
        "Bob": ("party", "default", "certificate", "revoked"),
        "late": ("viewer", "default", "token", "expired"),
    }


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("token", "create", "uid:0", "--role", "admin"), 2, "got the name 'uid:0'"),
        (("token", "create", "a\nb", "--role", "admin"), 2, "it takes 1 to 128 letters"),
        ((*CREATE, "--tenant", "host"), 2, "got the tenant 'host'"),
        ((*CREATE, "--tenant", "A"), 2, "it takes 1 to 63 lower-case letters"),
        (("token", "create", "a", "--role", "king"), 2, "'king' is not one of 'viewer'"),
        ((*CREATE, "--expires", "soon"), 2, "a duration such as"),
        ((*CREATE, "--expires", "99999999d"), 2, "leave it out for what never expires"),
        (("token", "revoke", "nobody"), 5, "nobody of the name nobody has a token in"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_kept(
    run: Run, state_dir: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = run(*arguments)
    assert (result.exit_code, said in result.stderr) == (code, True)
    assert read_grants(state_dir / "tokens").grants == ()


def test_a_file_that_others_may_read_is_not_changed(run: Run, state_dir: Path) -> None:
    run(*CREATE)
    (state_dir / "tokens").chmod(0o644)
    result = run("token", "create", "bob", "--role", "viewer")
    assert (result.exit_code, "run chmod 600" in result.stderr) == (7, True)
