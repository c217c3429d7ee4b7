"""Reading an inventory: what is wrong with it is said in a sentence, before anything is touched."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from deploy.inventory import InventoryError, SiteHost, load_site, parse_override
from deploy.settings import SettingsError


class Reader:
    """`load_site` in a process of its own: pyinfra's reader patches the process that it is imported in."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            try:
                self._serve(theirs.makefile("rwb"))
            finally:
                os._exit(0)
        theirs.close()
        self._stream = ours.makefile("rwb")

    @staticmethod
    def _serve(stream: BinaryIO) -> None:
        while True:
            try:
                request = pickle.load(stream)  # noqa: S301 - from our own parent.
            except EOFError:
                return
            pickle.dump(Reader._answer(**request), stream)
            stream.flush()

    @staticmethod
    def _answer(inventory: Path, limit: Sequence[str], overrides: dict[str, Any] | None) -> tuple[str, Any]:
        try:
            found = load_site(inventory, limit=limit, overrides=overrides)
        except SettingsError as error:
            return ("settings", error.problems)
        except InventoryError as error:
            return ("inventory", str(error))
        except BaseException as error:
            return ("bug", repr(error))
        return ("hosts", [(host.name, host.settings) for host in found])

    def ask(self, **request: Any) -> tuple[str, Any]:
        pickle.dump(request, self._stream)
        self._stream.flush()
        answer: tuple[str, Any] = pickle.load(self._stream)  # noqa: S301 - from our own child.
        return answer

    def close(self) -> None:
        self._stream.close()
        os.waitpid(self.pid, 0)


@pytest.fixture(scope="module", autouse=True)
def _reader() -> Iterator[None]:
    reader = Reader()
    _READERS.append(reader)
    yield
    _READERS.pop().close()


_READERS: list[Reader] = []


def load(
    inventory: Path, text: str | None = None, *, limit: Sequence[str] = (), overrides: dict[str, Any] | None = None
) -> list[SiteHost]:
    if text is not None:
        inventory.write_text(text)
    kind, value = _READERS[0].ask(inventory=inventory, limit=limit, overrides=overrides)
    if kind == "hosts":
        return [SiteHost(name, {}, settings) for name, settings in value]
    raise {"settings": SettingsError, "inventory": InventoryError, "bug": AssertionError}[kind](value)


def refusal(inventory: Path, text: str | None = None, **more: Any) -> str:
    with pytest.raises(InventoryError) as caught:
        load(inventory, text, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    return tmp_path / "lab.py"


EXAMPLES = Path(__file__).resolve().parents[2] / "inventories"
EXAMPLE = EXAMPLES / "lab.py"
LAB = """
red = [("r1", {"jupyter_home": "/r1"}), ("r2", {"jupyter_home": "/r2"})]
blue = [("b1.example.invalid", {"jupyter_home": "/b1", "jupyter_port": 9001})]
"""


def names(hosts: list[SiteHost]) -> list[str]:
    return [host.name for host in hosts]


# --- good -----------------------------------------------------------------------------------------------------------


def test_an_inventory_gives_every_host_with_its_settings(inventory: Path) -> None:
    hosts = load(inventory, LAB)
    assert [(host.name, host.settings.home, host.settings.port) for host in hosts] == [
        ("r1", "/r1", 8888),
        ("r2", "/r2", 8888),
        ("b1.example.invalid", "/b1", 9001),
    ]


def test_group_data_beside_the_inventory_counts_and_the_host_s_own_wins(inventory: Path) -> None:
    (inventory.parent / "group_data").mkdir()
    (inventory.parent / "group_data/all.py").write_text("jupyter_port = 7000\njupyter_base_url = '/all/'\n")
    (inventory.parent / "group_data/red.py").write_text("jupyter_base_url = '/red/'\n")
    found = {host.name: (host.settings.port, host.settings.base_url) for host in load(inventory, LAB)}
    assert found == {"r1": (7000, "/red/"), "r2": (7000, "/red/"), "b1.example.invalid": (9001, "/all/")}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lab.py", {"lab1.example.org": ("system", "pixi", "index"), "big1.example.org": ("system", "pixi", "index")}),
        ("vm.py", {"guest1.example.org": ("system", "pixi", "index")}),
        ("arm64.py", {"box1.example.org": ("system", "uv", "index"), "box3.example.org": ("system", "uv", "bundle")}),
    ],
)
def test_the_worked_examples_are_right_as_they_are(name: str, expected: dict[str, tuple[str, str, str]]) -> None:
    found = {host.name: host.settings for host in load(EXAMPLES / name)}
    wanted = {host: (found[host].scope, found[host].provider, found[host].source) for host in expected}
    assert wanted == expected
    assert (EXAMPLES.parent / f"docs/{Path(name).stem}.md").is_file()


def test_overrides_win_over_everything(inventory: Path) -> None:
    assert {host.settings.port for host in load(inventory, LAB, overrides={"jupyter_port": 1234})} == {1234}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (["r1"], ["r1"]),
        (["red"], ["r1", "r2"]),
        (["r*"], ["r1", "r2"]),
        (["all"], ["r1", "r2", "b1.example.invalid"]),
        (["b1.example.invalid", "r2"], ["r2", "b1.example.invalid"]),
        (["nothing", "r1"], ["r1"]),
        ([], ["r1", "r2", "b1.example.invalid"]),
    ],
)
def test_a_limit_takes_names_patterns_and_groups(inventory: Path, limit: list[str], expected: list[str]) -> None:
    assert names(load(inventory, LAB, limit=limit)) == expected


# --- refused --------------------------------------------------------------------------------------------------------


def test_a_file_that_is_missing_or_a_directory_is_no_inventory(inventory: Path) -> None:
    assert refusal(inventory) == f"there is no inventory {inventory}"
    assert refusal(inventory.parent) == f"there is no inventory {inventory.parent}"


@pytest.mark.parametrize("text", ["def (", "hosts = [", "  indented\n x"])
def test_what_is_not_python_is_told_with_its_line(inventory: Path, text: str) -> None:
    assert refusal(inventory, text).startswith(f"{inventory} is not Python: ")
    assert ", line " in refusal(inventory, text)


def test_group_data_that_is_not_python_is_named_itself(inventory: Path) -> None:
    (inventory.parent / "group_data").mkdir()
    (inventory.parent / "group_data/all.py").write_text("\ndef (")
    assert refusal(inventory, LAB).startswith(f"{inventory.parent}/group_data/all.py is not Python: ")


def test_bytes_that_are_no_text_are_told(inventory: Path) -> None:
    inventory.write_bytes(b"\xff\xfe\0")
    assert str(inventory) in refusal(inventory)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1/0", "does not run: ZeroDivisionError: division by zero"),
        ("import no_such_module_here", "does not run: ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("raise SystemExit(3)", "does not run: it ends the program with 3"),
        ("import sys; sys.exit('no')", "does not run: it ends the program with 'no'"),
    ],
)
def test_an_inventory_that_fails_is_told_with_the_failure(inventory: Path, text: str, told: str) -> None:
    assert refusal(inventory, text) == f"{inventory} {told}"


@pytest.mark.parametrize("text", ["", "x = 3", "hosts = []", "hosts = 'server'", "_hidden = ['a']"])
def test_an_inventory_without_hosts_says_what_one_looks_like(inventory: Path, text: str) -> None:
    assert refusal(inventory, text) == f"{inventory} has no hosts: it needs a list, such as lab = ['server.example']"


@pytest.mark.parametrize("text", ["h = [3]", "h = [('a',)]", "h = [()]", "h = [None]", "h = [('@nonsense/x', {})]"])
def test_a_list_of_something_else_is_no_inventory(inventory: Path, text: str) -> None:
    sentence = refusal(inventory, text)
    assert str(inventory) in sentence


def test_a_limit_that_matches_nothing_names_the_hosts_there_are(inventory: Path) -> None:
    assert refusal(inventory, LAB, limit=["green", "x*"]) == (
        "--limit green x* matches no host; there are r1, r2, b1.example.invalid"
    )


def test_wrong_settings_are_refused_even_of_hosts_outside_the_limit(inventory: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(inventory, LAB.replace("9001", "'9001'"), limit=["r1"])
    assert str(caught.value).startswith("b1.example.invalid: jupyter_port: '9001' is wrong")


# --- KEY=VALUE ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("jupyter_port=9000", "jupyter_port", 9000),
        ("jupyter_profile=full", "jupyter_profile", "full"),
        ('jupyter_extra_packages=["altair>=5"]', "jupyter_extra_packages", ["altair>=5"]),
        ("jupyter_uv=null", "jupyter_uv", None),
        ('jupyter_home="/a=b"', "jupyter_home", "/a=b"),
        ("jupyter_home=/a=b", "jupyter_home", "/a=b"),
        ("x=", "x", ""),
    ],
)
def test_an_override_is_json_where_it_can_be_and_text_otherwise(text: str, key: str, value: object) -> None:
    assert parse_override(text) == (key, value)


@pytest.mark.parametrize("text", ["", "jupyter_port", "=9000"])
def test_an_override_without_a_key_or_a_value_is_told_how_to_write_it(text: str) -> None:
    with pytest.raises(InventoryError, match=r"write KEY=VALUE, as in --data jupyter_profile=full"):
        parse_override(text)


def test_the_lab_is_a_worked_example() -> None:
    hosts = {host.name: host for host in load(EXAMPLE)}
    assert set(hosts) == {"lab1.example.org", "lab2.example.org", "big1.example.org"}
    assert {host.settings.scope for host in hosts.values()} == {"system"}
    assert hosts["big1.example.org"].settings.profile == "full"
    assert hosts["lab1.example.org"].settings.extra_packages == ["altair>=5"]
    assert names(load(EXAMPLE, limit=["big"])) == ["big1.example.org"]
