"""The pages for readers: all are found from the README, and no link leads nowhere."""

import re
from pathlib import Path

import pytest

from tests.source_tree import ROOT

README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").rglob("*.md")))

_LINK = re.compile(r"\]\((?!https?:)([^()\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[tuple[Path, str]]:
    """Where a page's links lead: a file of the tree, and a heading in it or none."""
    named = [link.partition("#") for link in _LINK.findall(_CODE.sub("", page.read_text()))]
    return [((page.parent / path).resolve() if path else page, at) for path, _, at in named]


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = _HEADING.findall(_CODE.sub("", page.read_text()))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    astray = [
        (str(target), at)
        for target, at in links(page)
        if not target.exists() or (at and target.suffix == ".md" and at not in anchors(target))
    ]
    assert astray == []


def test_the_readme_names_each_page_that_is_not_part_of_another() -> None:
    of_another = {"confidential-mutants.md"}
    named = {target for target, _ in links(README)}
    pages = set((ROOT / "docs").glob("*.md"))
    assert {page.name for page in pages - named} == of_another
