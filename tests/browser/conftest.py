"""A deployed site and people with browsers, for the tests in this folder.

The tests are skipped where there is no Chromium (`make test-browser` installs Debian's where it may). What the windows
of a failed test showed is in `tests/.artifacts`.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from playwright.sync_api import Error as BrowserError

from tests.browser.jupyterlab import Agent, NotebookTab, find_browser, launch, log_in
from tests.local_site import LocalSite

ARTIFACTS = Path(__file__).resolve().parent.parent / ".artifacts"
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = find_browser()
    if executable is None:
        pytest.skip("there is no Chromium on this machine; `make test-browser` says how to get one")
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, executable)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    """Deployed once for all tests; it asks for the browser first, so that nothing is deployed for skipped tests."""
    site = LocalSite(tmp_path_factory.mktemp("browser") / "site")
    try:
        done = site.run("up")
        assert done.returncode == 0, done.stdout + done.stderr
        yield site
    finally:
        site.run("down")
        for pid in site.processes():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def agent(site: LocalSite) -> Iterator[Agent]:
    agent = Agent(site)
    yield agent
    agent.close()


@pytest.fixture
def person(browser: Browser, site: LocalSite, request: pytest.FixtureRequest) -> Iterator[Callable[[], BrowserContext]]:
    """`person()` is somebody new, with cookies of their own, who has logged in."""
    people: list[BrowserContext] = []

    def arrive() -> BrowserContext:
        context = browser.new_context(viewport={"width": 1400, "height": 860})
        people.append(context)
        log_in(context, site)
        return context

    yield arrive
    pages = [page for context in people for page in context.pages]
    if request.node.stash.get(FAILED, False):
        ARTIFACTS.mkdir(exist_ok=True)
        for number, page in enumerate(pages, 1):
            name = re.sub(r"[^\w-]+", "-", request.node.name).strip("-")
            try:
                page.screenshot(path=ARTIFACTS / f"{name}-{number}.png")
            except BrowserError as error:
                print(f"window {number} could not be pictured: {error}")
    for context in people:
        context.close()


@pytest.fixture
def open_tab(person: Callable[[], BrowserContext], site: LocalSite) -> Callable[..., NotebookTab]:
    """`open_tab(path)` opens a notebook for somebody new, `open_tab(path, context)` for somebody who is there."""

    def open_notebook(path: str, context: BrowserContext | None = None) -> NotebookTab:
        return NotebookTab(context or person(), site, path).open()

    return open_notebook
