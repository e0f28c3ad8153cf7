"""A real Prometheus, as an operator runs it."""

import json
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

PROMETHEUS = shutil.which("prometheus")
PATIENCE_S = 90.0
"""It scrapes every second, on a machine that may be busy."""
POLL_S = 0.2

Samples = list[dict[str, Any]]

_LISTENS = re.compile(r'msg="Listening on".* address=(?P<address>\S+)')


class Prometheus:
    """One that runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._listens = threading.Event()
        self._ended = threading.Event()
        self._said: list[str] = []
        self._address = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said.append(line)
            if (found := _LISTENS.search(line)) is not None:
                self._address = found["address"]
                self._listens.set()
        self._listens.set()
        self._ended.set()

    def ask(self, query: str, until: Callable[[Samples], bool] = bool) -> Samples:
        """Return what a query answers, once it answers what is waited for."""
        self._listens.wait(PATIENCE_S)
        assert self._address, "".join(self._said)
        give_up = time.monotonic() + PATIENCE_S
        while not until(samples := self._asked(query)):
            assert time.monotonic() < give_up, f"{query}: {samples}"
            assert not self._ended.wait(POLL_S), "".join(self._said)
        return samples

    def _asked(self, query: str) -> Samples:
        asked = urllib.parse.urlencode({"query": query})
        url = f"http://{self._address}/api/v1/query?{asked}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:  # while it starts
                raise
            return []
        result: Samples = told["data"]["result"]
        return result

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()


@contextmanager
def scraping(config: str, directory: Path) -> Iterator[Prometheus]:
    """Run one with a configuration file of this text."""
    assert PROMETHEUS is not None
    file = directory / "prometheus.yml"
    file.write_text(config)
    command = [PROMETHEUS, f"--config.file={file}", f"--storage.tsdb.path={directory / 'tsdb'}"]
    with subprocess.Popen(
        [*command, "--web.listen-address=127.0.0.1:0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        prometheus = Prometheus(process)
        try:
            yield prometheus
        finally:
            prometheus.end()
