"""Who QEMU runs as, and what is said where that cannot be."""

import logging
import os
import pwd
import stat
import subprocess
import sys

import pytest

from supervisor.cannot_serve import CannotServe
from supervisor.config import QEMU_OWN_USER, QEMU_SHARED_USER
from supervisor.host.qemu_user import QemuUser, choose_user

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can choose")
SOMEBODY = QemuUser("somebody", uid=1001, gid=1002, groups=(1003,))


def known(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


@as_root
def test_by_default_it_is_a_user_of_its_own_or_nobody(caplog: pytest.LogCaptureFixture) -> None:
    user = choose_user(None)
    assert user is not None
    assert user.uid != 0
    if known(QEMU_OWN_USER):
        assert (user.name, caplog.messages) == (QEMU_OWN_USER, [])
    else:
        assert user.name == QEMU_SHARED_USER
        assert "useradd --system --user-group --no-create-home" in caplog.text


@as_root
def test_a_user_that_is_missing_is_refused_with_what_to_run() -> None:
    with pytest.raises(CannotServe, match=r"there is no user 'no-such'; run: useradd .* no-such$"):
        choose_user("no-such")


@as_root
def test_root_may_be_asked_for_and_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert choose_user("root") is None
    assert "QEMU runs as root" in caplog.text


@as_root
@pytest.mark.parametrize(
    ("uid", "name", "said"),
    [
        (65534, None, "None"),
        (65534, "nobody", "None"),
        (65534, "root", "only root can run QEMU as another user"),
        (65534, "no-such", "only root can run QEMU as another user"),
        (54321, "nobody", "only root can run QEMU as another user"),
    ],
)
def test_anyone_else_runs_it_as_himself(uid: int, name: str | None, said: str) -> None:
    script = (
        "import os; from supervisor.host.qemu_user import choose_user; from supervisor.cannot_serve"
        f" import CannotServe\nos.setgid(65534); os.setuid({uid})\n"
        f"try: print(choose_user({name!r}))\nexcept CannotServe as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said in done.stdout


@pytest.mark.parametrize(
    ("uid", "gid", "mode", "may"),
    [
        (1001, 0, 0o400, True),
        (1001, 0, 0o044, False),
        (0, 1002, 0o040, True),
        (0, 1003, 0o040, True),
        (0, 1003, 0o404, False),
        (0, 0, 0o004, True),
        (0, 0, 0o440, False),
    ],
)
def test_the_mode_of_a_file_says_who_may_read_it(
    uid: int, gid: int, mode: int, *, may: bool
) -> None:
    status = os.stat_result((stat.S_IFREG | mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))
    assert SOMEBODY.may(os.R_OK, status) is may
