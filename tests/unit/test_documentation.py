"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.checks import TOOLS
from deploy.documentation import pages

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_that_is_made_from_the_code_is_as_the_code_is(page: Path) -> None:
    assert page.read_text() == pages()[page], "run make docs"


def test_every_tool_is_documented_for_agents() -> None:
    text = (ROOT / "docs/agents.md").read_text()
    assert not [tool for tool in TOOLS if f"`{tool}" not in text]


@pytest.mark.parametrize("document", [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))])
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    local = [link for link in links if "://" not in link]
    assert not [link for link in local if not (document.parent / link).exists()]


def test_every_make_target_in_the_documentation_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        named = set(re.findall(r"\bmake ([a-z][a-z0-9-]+)", document.read_text()))
        assert named <= targets, document.name
