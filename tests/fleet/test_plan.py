"""A plan tells the truth: never empty before a change, always empty after it, and it touches nothing itself."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.fleet.site import SITE, Site
from tests.machines.sshd_hosts import SshdHost


def random_settings(chance: random.Random) -> dict[str, Any]:
    """Settings that a site may have, none of which asks for another environment."""
    choices: dict[str, list[Any]] = {
        "jupyter_base_url": ["/", "/lab1/", "/a/b~c/"],
        "jupyter_port": [8888, 8899, 20_001],
        "jupyter_auth": ["token", "none"],
        "jupyter_workspace": [f"{SITE}/workspace", "/home/lab/my notebooks", "/home/lab/über/tief"],
        "jupyter_mcp_room_idle_timeout": [1, 600, 86_400],
    }
    return {name: chance.choice(values) for name, values in choices.items()}


def damage(chance: random.Random, host: SshdHost) -> None:
    """Change something on the host that a deploy looks after."""
    config = f"{SITE}/.config/jupyfleet"
    commands = [
        f"echo '# edited' >> {config}/jupyter/jupyter_server_config.py",
        f"rm {config}/supervisor/programs/jupyter.ini",
        f"chmod 644 {config}/supervisor/supervisord.conf",
        f"chmod 755 {SITE}/run",
        f"rm {SITE}/.pixi/envs/default",
        f"rm $(ls -d {SITE}/releases/*)/jupyfleet-release.json",
        "kill -9 $(pgrep -x supervisord)",
    ]
    host.shell(chance.choice(commands))


def listing(host: SshdHost) -> str:
    left_out = "-path '*/run/*' -o -path '*/log*' -o -path '*/share/*' -o -name '*.pyc' -o -name __pycache__"
    return host.shell(f"find {SITE} -not \\( {left_out} \\) -printf '%i %m %T@ %p\\n' | sort -k4")


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_is_never_empty_before_a_change_and_always_after_it(copies: Callable[[int], Site], seed: int) -> None:
    chance = random.Random(seed)
    site = copies(1)
    [host] = site.hosts
    assert "would change" in site.run("plan").stdout
    site.settings = random_settings(chance)
    first = site.run("up")
    assert first.returncode == 0, (site.settings, first.stdout)
    assert "nothing changed" in site.run("plan").stdout, site.settings

    new = random_settings(chance)
    while new == site.settings:
        new = random_settings(chance)
    before, site.settings = listing(host), new
    assert "would change" in site.run("plan").stdout, site.settings
    assert listing(host) == before, "a plan touches nothing"
    second = site.run("up")
    assert second.returncode == 0, (site.settings, second.stdout)
    assert "nothing changed" in site.run("plan").stdout, site.settings

    damage(chance, host)
    assert "would change" in site.run("plan").stdout
