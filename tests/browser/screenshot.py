"""The README's picture of JupyterLab: `python -m tests.browser.screenshot docs/images/jupyterlab.png`.

Deploys a site of its own into a temporary home, lets an agent write and run a notebook through MCP while two people
have it open, takes the picture of one person's window, and takes the site down again. It needs a Chromium
(`tests/browser/install-chromium`) and about a minute. Look at the picture before you commit it.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.browser.jupyterlab import Agent, NotebookTab, find_browser, launch, log_in
from tests.local_site import LocalSite

NOTEBOOK = "penguins/masses.ipynb"
MARKDOWN = """\
# Counting penguins

Written by **people in JupyterLab** and an **AI agent through MCP**, in the same notebook at the same time.
Everyone sees each edit as it is typed, and shares one kernel."""
CODE = (
    """\
from statistics import mean, stdev

masses = {
    "Adélie": [3750, 3800, 3250, 3450, 3650, 3625],
    "Chinstrap": [3500, 3900, 3650, 3525, 3725, 3950],
    "Gentoo": [4500, 5700, 4450, 5700, 5400, 4550],
}""",
    """\
print(f"{'species':<12}{'mean':>8}{'± sd':>8}")
for species, grams in masses.items():
    print(f"{species:<12}{mean(grams):>7.0f}g{stdev(grams):>7.0f}g  {'█' * round(mean(grams) / 250)}")""",
    """\
max(masses, key=lambda species: mean(masses[species]))""",
)


def take(site: LocalSite, output: Path) -> None:
    """Deploy, write, picture."""
    done = site.run("up")
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    agent = Agent(site)
    agent("notebook_create", path=NOTEBOOK)
    agent("cell_insert", path=NOTEBOOK, index=0, source=MARKDOWN, cell_type="markdown")
    for index, source in enumerate(CODE, 1):
        agent("cell_insert", path=NOTEBOOK, index=index, source=source)
    for name in ("plan.ipynb", "field notes.ipynb"):
        agent("notebook_create", path=f"penguins/{name}")

    with sync_playwright() as playwright:
        executable = find_browser()
        if executable is None:
            raise SystemExit("there is no Chromium on this machine; see tests/browser/install-chromium")
        browser = launch(playwright.chromium, executable)
        people = [browser.new_context(viewport={"width": 1400, "height": 860}, color_scheme="light") for _ in range(2)]
        for person in people:
            log_in(person, site)
        tab, other = (NotebookTab(person, site, NOTEBOOK).open() for person in people)
        for index in range(1, len(CODE) + 1):
            agent("cell_execute", path=NOTEBOOK, index=index)
        expect(tab.outputs(len(CODE))).to_have_text(re.compile("Gentoo"))
        # Somebody else's cursor.
        other.place_cursor(2)
        expect(tab.page.locator(".jp-DirListing-item[title*='masses.ipynb']")).to_be_visible()
        tab.cells.nth(3).locator(".cm-content").click()
        expect(tab.page.locator(".jp-remote-cursor")).to_have_count(1)
        tab.page.mouse.move(700, 830)
        for notification in tab.page.locator(".Toastify__toast").get_by_text("No", exact=True).all():
            notification.click()
        expect(tab.page.locator(".Toastify__toast, .jp-Dialog")).to_have_count(0)
        output.parent.mkdir(parents=True, exist_ok=True)
        tab.page.screenshot(path=output, caret="initial", animations="disabled")
        browser.close()
    agent.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the PNG to write")
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as home:
        site = LocalSite(Path(home) / "site")
        try:
            take(site, output)
        finally:
            site.run("down")


if __name__ == "__main__":
    main()
