"""The page that shows the log to other programs shows what works."""

import re
from pathlib import Path
from typing import Any

import pytest
import trio

import eventlog
from eventlog import EventLogError, WrongExpectedVersion, open_log, read_log

PAGE = (Path(__file__).parents[2] / "docs" / "eventlog-as-a-library.md").read_text()


def _example() -> dict[str, Any]:
    found = re.search(r"```python\n(from collections.*?)```", PAGE, re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(compile(found[1], "eventlog-as-a-library.md", "exec"), names)
    return names


async def test_accounts_of_the_page_are_never_overdrawn(tmp_path: Path) -> None:
    example = _example()
    transfer, moved = example["transfer"], example["moved"]
    outcomes: list[str] = []

    async with open_log(tmp_path / "accounts") as log:
        await log.append([moved("ann", 100, "deposit")])

        async def rival(name: str) -> None:
            try:
                await transfer(log, name, "ann", "bob", 60)
            except (ValueError, WrongExpectedVersion) as refused:
                outcomes.append(type(refused).__name__)
            else:
                outcomes.append("moved")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(rival, "t1")
            nursery.start_soon(rival, "t2")
        assert sorted(outcomes) == ["WrongExpectedVersion", "moved"]
        with pytest.raises(ValueError, match="ann has only 40"):
            await transfer(log, "t3", "ann", "bob", 60)

    balances = example["Counter"]()
    for event in read_log(tmp_path / "accounts"):
        example["fold"](balances, event)
    assert balances == {"ann": 40, "bob": 60}


def test_every_error_that_the_page_names_exists_and_none_that_callers_see_is_left_out() -> None:
    tree = PAGE.split("## Errors")[1].split("```")[1]
    named = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", tree))
    public = {
        name
        for name, value in vars(eventlog).items()
        if isinstance(value, type) and issubclass(value, EventLogError)
    }
    assert public - named == {"NotArchivable"} & public
    assert named - {"EventLog", "EventLogError", "EvidenceRefused"} <= public
