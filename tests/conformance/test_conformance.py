"""The official conformance suite of MCP, against a deployed site, for each revision of the protocol that it serves.

Once against the site as it is; and once against the same release with the tools that the suite's scenarios call in
the place of ours (`fixture_server`), behind the same access rules and the same bridge. The suite's tools, prompts and
resources are its own example server's, and a server of notebooks has none of them.

What fails is compared with `expected_failures/` exactly, check by check. That is stricter than the suite's own
--expected-failures (which is asked too): it takes no notice of the scenarios that do not count for a revision, nor of
entries that name nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.authorizing_proxy import authorized, authorizing_proxy
from tests.local_site import ROOT, LocalSite, free_port, wait_until

HERE = Path(__file__).parent
PACKAGES = ROOT / ".cache/conformance/node_modules"
#: One package for each architecture; npm installs the one that fits, and not every npm links its program into .bin.
NODE = next(iter(PACKAGES.glob("node-linux-*/bin/node")), None)
SUITE = PACKAGES / "@modelcontextprotocol/conformance/dist/index.js"
REVISIONS = ("2025-11-25", "2026-07-28")
#: For one scenario and for a whole run, on a machine that has more to do.
SCENARIO_MILLISECONDS = 120_000
RUN_SECONDS = 540

needs_suite = pytest.mark.skipif(
    NODE is None or not SUITE.exists(),
    reason="the suite is not installed: make test-conformance does that, where there is npm on Linux, x86-64 or arm64",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    site = LocalSite(tmp_path_factory.mktemp("conformance") / "site")
    try:
        done = site.run("up")
        assert done.returncode == 0, done.stdout + done.stderr
        yield site
    finally:
        assert site.run("down").returncode == 0


@pytest.fixture(scope="module")
def fixture_port(site: LocalSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of `fixture_server`, run from the site's release and with the site's token."""
    home = tmp_path_factory.mktemp("fixtures")
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "MCP_"))}
    environ |= {"HOME": str(home), "JUPYTER_TOKEN_FILE": str(site.token_file)}
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [site.environment / "bin/python", HERE / "fixture_server.py", home, str(port)],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def answers() -> bool:
        assert server.poll() is None, (home / "log").read_text()
        return pings(port, site.token)

    try:
        wait_until(answers, "the server of fixture tools answers", seconds=120)
        yield port
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def pings(port: int, token: str) -> bool:
    """Whether the tools are up: FastMCP is imported by the first call."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/mcp",
        data=b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
        headers={
            "Authorization": f"Bearer {token}",
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def expectations(path: Path) -> dict[str, str]:
    """What a file of expected failures lists, 'scenario' or 'scenario:check', with the reason that each one has."""
    listed = re.findall(r"^ *- *(\S+)(?: +# *(\S.*))?$", path.read_text(), re.MULTILINE)
    assert all(reason for _, reason in listed), f"{path.name}: an entry without a reason"
    return dict(listed)


def verdict(failed: set[tuple[str, str]], ran: set[str], expected: set[str]) -> list[str]:
    """One line for everything that is otherwise than expected. `failed`: scenario and check; `ran`: scenarios."""
    names = {f"{scenario}:{check}" for scenario, check in failed} | {scenario for scenario, _ in failed}
    unexpected = [
        f"{scenario}:{check} fails, and is not listed"
        for scenario, check in sorted(failed)
        if not {scenario, f"{scenario}:{check}"} & expected
    ]
    stale = [
        f"{entry} is listed, and " + ("does not fail" if entry.split(":")[0] in ran else "there is no such scenario")
        for entry in sorted(expected - names)
    ]
    return unexpected + stale


def results(directory: Path) -> tuple[set[tuple[str, str]], set[str]]:
    """The checks that failed or were warned of, and the scenarios that ran."""
    failed, ran = set(), set()
    for checks in directory.glob("*/checks.json"):
        named = re.fullmatch(r"server-(.+?)-\d{4}-\d\d-\d\dT.*", checks.parent.name)
        assert named, checks
        ran.add(named[1])
        failed |= {
            (named[1], check["id"])
            for check in json.loads(checks.read_text())
            if check["status"] in ("FAILURE", "WARNING")
        }
    return failed, ran


def conform(port: int, token: str, revision: str, expected: Path, output: Path) -> None:
    """Run what a revision requires, and what the suite has for it besides.

    Raises:
        AssertionError: something failed that is not listed, or did not fail that is.
    """
    assert NODE is not None
    with authorizing_proxy(port, token) as proxy:
        done = subprocess.run(
            [
                *(NODE, SUITE, "server", "--url", f"http://127.0.0.1:{proxy}/mcp", "--requirements", revision),
                *("--expected-failures", expected, "--output-dir", output, "--timeout", str(SCENARIO_MILLISECONDS)),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    summary = done.stdout.rpartition("=== SUMMARY ===")[2] or done.stdout
    failed, ran = results(output)
    assert ran, summary + done.stderr
    problems = verdict(failed, ran, set(expectations(expected)))
    assert not problems, "\n".join([*problems, summary])
    assert done.returncode == 0, summary + done.stderr


@needs_suite
@pytest.mark.parametrize("revision", REVISIONS)
def test_a_deployed_site_conforms(site: LocalSite, revision: str, tmp_path: Path) -> None:
    expected = HERE / f"expected_failures/deployed-{revision}.yml"
    conform(site.port, site.token, revision, expected, tmp_path)


@needs_suite
@pytest.mark.parametrize("revision", REVISIONS)
def test_the_bridge_conforms_with_the_tools_of_the_suite(
    site: LocalSite, fixture_port: int, revision: str, tmp_path: Path
) -> None:
    expected = HERE / f"expected_failures/fixtures-{revision}.yml"
    conform(fixture_port, site.token, revision, expected, tmp_path)


def test_the_proxy_adds_the_token_and_changes_neither_host_nor_origin() -> None:
    head = b"POST /mcp HTTP/1.1\r\nHost: evil.example.com\r\norigin: http://evil.example.com\r\nConnection: keep-alive"
    assert authorized(head + b"\r\n\r\n", "secret") == (
        b"POST /mcp HTTP/1.1\r\nHost: evil.example.com\r\norigin: http://evil.example.com\r\n"
        b"Authorization: Bearer secret\r\nConnection: close\r\n\r\n"
    )


def test_a_verdict_is_exact_in_both_directions() -> None:
    failed = {("caching", "hints"), ("tasks", "create"), ("tasks", "cancel")}
    ran = {"caching", "tasks", "ping"}
    assert verdict(failed, ran, {"caching:hints", "tasks"}) == []
    assert verdict(failed, ran, {"tasks"}) == ["caching:hints fails, and is not listed"]
    assert verdict(failed, ran, {"caching:hints", "tasks", "ping"}) == ["ping is listed, and does not fail"]
    assert verdict(failed, ran, {"caching", "tasks", "gone"}) == ["gone is listed, and there is no such scenario"]
