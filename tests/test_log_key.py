"""The key of the log: made once, private, and of this log only."""

import os
import stat
from pathlib import Path

import pytest

from supervisor.log_key import load_signer, origin, read_signer
from supervisor.secret_file import SecretUnfit


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    signer = load_signer(path, "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_signer(path, "one").verifier == signer.verifier
    assert read_signer(path, "one").verifier.name == origin("one") == "chronovisor/one"


def test_reading_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_signer(tmp_path / "log.key", "one")
    assert list(tmp_path.iterdir()) == []


def test_the_key_of_another_log_is_refused(tmp_path: Path) -> None:
    load_signer(tmp_path / "log.key", "one")
    with pytest.raises(SecretUnfit, match="is the key of chronovisor/one, and this log is"):
        load_signer(tmp_path / "log.key", "two")


@pytest.mark.parametrize("content", ["", "no key", "PRIVATE+KEY+a+00000000+AAAA"])
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "log.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(SecretUnfit, match="holds no key") as caught:
        load_signer(path, "one")
    assert "AAAA" not in str(caught.value)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    load_signer(path, "one")
    path.chmod(0o640)
    with pytest.raises(SecretUnfit, match="others may read"):
        load_signer(path, "one")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    load_signer(tmp_path / "elsewhere", "one")
    (tmp_path / "log.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SecretUnfit, match=r"log\.key is not a regular file"):
        load_signer(tmp_path / "log.key", "one")


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.key", 0o600)
    with pytest.raises(SecretUnfit, match=r"log\.key is not a regular file"):
        read_signer(tmp_path / "log.key", "one")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user's file")
def test_the_key_of_another_user_is_left_alone_and_nobody_is_told_to_remove_it(
    tmp_path: Path,
) -> None:
    load_signer(tmp_path / "log.key", "one")
    os.chown(tmp_path / "log.key", 65534, -1)
    with pytest.raises(SecretUnfit, match="belongs to user 65534: do this as that user"):
        read_signer(tmp_path / "log.key", "one")
