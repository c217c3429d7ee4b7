"""JupyterLab as a person sees it: a window of a real browser, and the notebook in it.

What a test asks of the page is read from the page itself, never from the server or from JupyterLab's own objects.
Playwright runs an event loop in its thread, so an MCP client (which brings its own) runs in another one: `Agent`.
"""

from __future__ import annotations

import os
import shutil
import urllib.parse
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import nbformat
from playwright.sync_api import Browser, BrowserContext, BrowserType, Locator, Page, expect

from tests.local_site import LocalSite

#: Where a Chromium may be; the first that is there is taken.
BROWSERS = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
#: Without these, Chromium looks up its maker's hosts at every start, which a closed network refuses many times over.
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Milliseconds that JupyterLab may take to start on a loaded machine, and anything else in it.
START = 120_000
PATIENCE = 30_000

#: Keeps the text of every dialog and notification that was ever shown, also of those that went away by themselves.
_REMEMBER_DIALOGS = """
window.shown = { ".jp-Dialog": [], ".Toastify__toast": [] };
new MutationObserver((changes) => {
  for (const change of changes) for (const node of change.addedNodes) {
    if (!(node instanceof Element)) continue;
    for (const [kind, texts] of Object.entries(window.shown)) {
      const found = node.matches(kind) ? node : node.querySelector(kind);
      if (found) texts.push(found.innerText || found.textContent);
    }
  }
}).observe(document, { childList: true, subtree: true });
"""

#: What CodeMirror draws and is not text (the names at other people's cursors) is left out. CodeMirror leaves a gap for
#: lines far out of sight, and JupyterLab an empty cell: then the page does not show the source, and this says so.
_SOURCES = """(cells) => cells.map((cell) => {
  const content = cell.querySelector(".cm-content");
  if (!content || content.querySelector(".cm-gap")) return null;
  return [...content.querySelectorAll(".cm-line")].map((line) => {
    const copy = line.cloneNode(true);
    copy.querySelectorAll("[contenteditable=false], .cm-widgetBuffer").forEach((widget) => widget.remove());
    return copy.textContent.replace(/[\\u200b\\u2060]/g, "");
  }).join("\\n");
})"""


def find_browser() -> str | None:
    """The program to run, or None when this machine has no Chromium."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def launch(chromium: BrowserType, executable: str) -> Browser:
    """A browser without a window, with a user data directory of its own that goes away with it."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return chromium.launch(executable_path=executable, headless=True, args=[*FLAGS, *sandbox])


def log_in(context: BrowserContext, site: LocalSite) -> None:
    """Type the token into the login page, as people do; in an address it would end up in logs."""
    page = context.new_page()
    page.goto(f"{site.url}login?next=%2Fapi%2Fme")
    page.locator("#password_input").fill(site.token)
    page.locator("#login_submit").click()
    page.wait_for_url("**/api/me", timeout=PATIENCE)
    page.close()


def on_disk(site: LocalSite, path: str) -> list[str]:
    """The sources of the cells in the file."""
    try:
        notebook = nbformat.read(site.workspace / path, as_version=4)
    except ValueError:
        return []  # Caught in the middle of being written.
    return [cell.source for cell in notebook.cells]


class Agent:
    """An MCP client of a site: `agent("cell_get", path=…, index=0)`; `agent.begin(…)` does not wait for the answer."""

    def __init__(self, site: LocalSite) -> None:
        self._site = site
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="agent")

    def __call__(self, tool: str, **arguments: Any) -> Any:
        return self.begin(tool, **arguments).result()

    def begin(self, tool: str, **arguments: Any) -> Future[Any]:
        return self.run(lambda: self._site.mcp(tool, **arguments))

    def run(self, work: Callable[[], Any]) -> Future[Any]:
        """Several calls in a row, off the browser's thread; `work` calls the site itself."""
        return self._threads.submit(work)

    def notebook(self, path: str, *sources: str) -> str:
        """A new notebook with these code cells; its path."""
        self("notebook_create", path=path)
        for index, source in enumerate(sources):
            self("cell_insert", path=path, index=index, source=source)
        return path

    def sources(self, path: str) -> list[str]:
        return [cell["source"] for cell in self("notebook_get", path=path)["cells"]]

    def close(self) -> None:
        self._threads.shutdown()


class NotebookTab:
    """A notebook open in JupyterLab, in a browser tab of its own and a workspace that nobody has used before."""

    def __init__(self, context: BrowserContext, site: LocalSite, path: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.add_init_script(_REMEMBER_DIALOGS)
        self._site = site
        self._path = path

    def begin_to_open(self) -> None:
        """Until the notebook is shown; its kernel may not be there yet."""
        workspace = f"test-{uuid.uuid4().hex}"
        self.page.goto(f"{self._site.url}lab/workspaces/{workspace}/tree/{urllib.parse.quote(self._path)}")
        expect(self.cells.first).to_be_visible(timeout=START)

    def open(self) -> NotebookTab:
        self.begin_to_open()
        # While it has no kernel, a cell that is run waits; and a kernel of somebody else's must be found by now.
        expect(self.page.locator(".jp-StatusBar-TextItem", has_text="| Idle")).to_be_visible(timeout=START)
        return self

    @property
    def cells(self) -> Locator:
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook-cell")

    def sources(self) -> list[str | None]:
        """The source of each cell as the page shows it, None where it does not show all of it."""
        sources: list[str | None] = self.cells.evaluate_all(_SOURCES)
        return sources

    def outputs(self, index: int) -> Locator:
        return self.cells.nth(index).locator(".jp-OutputArea-output")

    def prompt(self, index: int) -> Locator:
        return self.cells.nth(index).locator(".jp-InputPrompt")

    def place_cursor(self, index: int, *, at_end: bool = True) -> None:
        self.cells.nth(index).locator(".cm-content").click()
        self.page.keyboard.press("Control+End" if at_end else "Control+Home")

    def type(self, index: int, text: str, *, at_end: bool = True, delay: float = 0) -> None:
        """Type into a cell, `delay` milliseconds between the keys."""
        self.place_cursor(index, at_end=at_end)
        self.page.keyboard.type(text, delay=delay)

    def run(self, index: int) -> None:
        self.place_cursor(index)
        self.page.keyboard.press("Shift+Enter")

    def save(self) -> None:
        self.page.keyboard.press("Control+s")

    def dialogs(self) -> list[str]:
        """The texts of all dialogs that were shown since the tab was opened."""
        texts: list[str] = self.page.evaluate("window.shown['.jp-Dialog']")
        return texts

    def notifications(self) -> list[str]:
        """The texts of all notifications that popped up since the tab was opened."""
        texts: list[str] = self.page.evaluate("window.shown['.Toastify__toast']")
        return texts

    def person(self) -> dict[str, str]:
        """Who JupyterLab says that this person is: {"username", "display_name", …}."""
        identity: dict[str, str] = self.page.evaluate(
            "async () => (await (await fetch('/api/me')).json()).identity",
        )
        return identity

    def wait_until(self, holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Wait for a condition that the page alone does not tell; the page goes on meanwhile.

        Raises:
            AssertionError: it did not come true.
        """
        for _ in range(int(seconds * 10)):
            if holds():
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"after {seconds:.0f} s still not: {what}; the tab shows {self.sources()}")

    def shows(self, *sources: str) -> None:
        """Wait until the tab's cells are these."""
        self.wait_until(lambda: self.sources() == list(sources), f"the tab shows {list(sources)}")

    def close_notebook(self) -> None:
        """Close the notebook and stay in JupyterLab."""
        self.page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab.lm-mod-current .lm-TabBar-tabCloseIcon").click()
        expect(self.page.locator(".jp-NotebookPanel")).to_have_count(0)

    def close(self) -> None:
        self.page.close()
