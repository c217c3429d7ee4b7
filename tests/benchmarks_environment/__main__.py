"""``make bench-environment``: what jupyfleet's releases cost beside the plain tool, in one run on one machine.

Profile core is installed by bare ``uv pip install`` and by `jupyfleet_host.environment.build` from the same lock, by
the same uv, from the same index, in turns, and without the trials that bare uv does not make; a site is rolled back,
and restarted as an administrator would. A rollback ends, like a restart, when another server answers than before; the
checks that follow are not counted, and each begins with a server that has done all that it does after its start.
``python3`` is a program here, as on a host, and not the shell script that some tools put before it. Each figure is a
median, its goal stands beside it, and a goal that is missed ends the run with 1. ``--rounds 1`` is for a machine that
has other things to do: it measures everything, and proves little.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.environment.uv import uv_release_of
from deploy.facts.hostscript import source
from deploy.paths import REQUIREMENTS
from deploy.settings import read_settings
from jupyfleet_host.package_index import environment_for_uv
from jupyfleet_host.supervisor_rpc import RefusedError, Supervisor
from tests.local_site import LocalSite, wait_until

UV = str(Path(sys.executable).parent / "uv")


def seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def ask_host(module: str, function: str, spec: dict[str, Any], environ: dict[str, str]) -> dict[str, Any]:
    """A host script as a host runs it: by ``python3 -I -S -``, from its standard input."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-"],
        input=source(module, function, spec),
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["result"]
    return result


def spec_of(home: Path, path: Path, **settings: Any) -> dict[str, Any]:
    data = {"jupyter_home": str(home), "jupyter_uv": UV, "jupyter_python": sys.executable} | settings
    where = {"lock_file": f"{home}/.jupyfleet.lock", "tools": f"{home}/tools", "path": str(path), "link": None}
    return uv_release_of(read_settings("bench", data)).build_spec() | where | {"bundle": None}


def bare(path: Path, environ: dict[str, str]) -> None:
    subprocess.run([UV, "--quiet", "venv", "--python", sys.executable, path], env=environ, check=True)
    install = [UV, "--quiet", "pip", "install", "--python", path / "bin/python", "--require-hashes"]
    lock = ["--only-binary=:all:", "-r", REQUIREMENTS / "core.txt"]
    subprocess.run([*install, *lock], env=environ, check=True)


def allocated(*directories: Path) -> int:
    """Bytes on the disk; a file with several names counts once."""
    found = {}
    for directory in directories:
        for file in directory.rglob("*"):
            status = file.lstat()
            found[status.st_ino] = status.st_blocks * 512
    return sum(found.values())


def installs(scratch: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """Name: figure and goal, of installing, of looking, and of the disk."""
    environ = dict(os.environ) | environment_for_uv(os.environ, Path.home())
    times: dict[str, list[float]] = {"bare cold": [], "build cold": [], "bare warm": [], "build warm": [], "no-op": []}
    for turn in range(rounds):
        for name, cache in (("bare", scratch / "cache-bare"), ("build", scratch / "cache-build")):
            with_cache = environ | {"UV_CACHE_DIR": str(cache)}
            for heat in ("cold", "warm"):
                path = scratch / "releases" / f"{name}-{heat}-{turn}"
                if heat == "cold":
                    shutil.rmtree(cache, ignore_errors=True)
                if name == "bare":
                    took = seconds(lambda path=path, env=with_cache: bare(path, env))
                else:
                    # What bare uv does has no trial in it: that is measured apart.
                    spec = spec_of(scratch, path) | {"trials": []}
                    took = seconds(lambda spec=spec, env=with_cache: ask_host("environment", "build", spec, env))
                times[f"{name} {heat}"].append(took)
                print(f"  {name} {heat}: {took:.2f} s", flush=True)
    last = scratch / f"releases/build-warm-{rounds - 1}"
    asked = {"paths": [str(last)], "link": None}
    times["no-op"] = [seconds(lambda: ask_host("releases", "state", asked, environ)) for _ in range(5)]
    with_cache = environ | {"UV_CACHE_DIR": str(scratch / "cache-build")}
    first, second = with_trials(scratch, with_cache), scratch / "releases/second"
    ask_host("environment", "build", spec_of(scratch, second, jupyter_extra_packages=["tabulate"]), with_cache)
    more = allocated(first, second) - allocated(first)
    middle = {name: statistics.median(found) for name, found in times.items()}
    return {
        "cold install, times bare uv": (middle["build cold"] / middle["bare cold"], 1.15),
        "warm install, times bare uv": (middle["build warm"] / middle["bare warm"], 1.15),
        "no-op on the host, seconds": (middle["no-op"], 0.5),
        "disk of a second release, share of the first": (more / allocated(first), 0.10),
    }


def with_trials(scratch: Path, environ: dict[str, str]) -> Path:
    """What a release's trials take on top, and what the same trials take after bare uv: said, and no goal.

    The release is as whole as a host has it, with the bytecode that its trials leave behind.
    """
    whole = scratch / "releases/build-tried"
    spec = spec_of(scratch, whole)
    path = scratch / "releases/bare-tried"

    def tried() -> None:
        bare(path, environ)
        wheels = [scratch / wheel["name"] for wheel in spec["wheels"]]
        for wheel, file in zip(spec["wheels"], wheels, strict=True):
            file.write_bytes(base64.b64decode(wheel["content"]))
        install = [UV, "--quiet", "pip", "install", "--python", path / "bin/python", "--no-deps", *wheels]
        subprocess.run(install, env=environ, check=True)
        for program, *arguments in spec["trials"]:
            subprocess.run([path / "bin" / program, *arguments], check=True, stdout=subprocess.DEVNULL)

    for name, work in (("bare", tried), ("build", lambda: ask_host("environment", "build", spec, environ))):
        print(f"  {name} warm, with the same trials: {seconds(work):.2f} s", flush=True)
    return whole


def rollbacks(scratch: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """From the command until the other server answers, beside a plain restart."""
    found_first = f"{Path(sys.base_prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    site = LocalSite(scratch / "site", variables={"PATH": found_first})
    assert site.run("up").returncode == 0
    assert site.run("up", jupyter_extra_packages=["tabulate"]).returncode == 0
    [ctl] = site.home.glob("tools/supervisor-*/bin/supervisorctl")
    conf = site.home / ".config/jupyfleet/supervisor/supervisord.conf"
    to = [path.name for path in (site.home / "releases").iterdir()]
    back, plain = [], []
    try:
        for _ in range(rounds):
            for name in sorted(to, key=lambda name: name == site.environment.resolve().name):
                back.append(_until_served(site, lambda name=name: site.run("rollback", "--to", name)))
                plain.append(_until_served(site, lambda: site.call(ctl, "--configuration", conf, "restart", "jupyter")))
                print(f"  rollback {back[-1]:.2f} s, restart {plain[-1]:.2f} s", flush=True)
    finally:
        site.run("down")
    return {"rollback to serving again, times a restart": (statistics.median(back) / statistics.median(plain), 1.5)}


def _until_served(site: LocalSite, command: Callable[[], object]) -> float:
    """Seconds from the start of a command until another process serves than before."""
    assert site.run("verify").returncode == 0
    before, began = _server_of(site), time.monotonic()
    running = threading.Thread(target=command)
    running.start()
    wait_until(lambda: _server_of(site) not in (0, before) and site.get("api") == 200, "another server", 120)
    took = time.monotonic() - began
    running.join()
    return took


def _server_of(site: LocalSite) -> int:
    """The server's process. supervisord is asked itself: its program for people would take a core while one waits."""
    try:
        return int(Supervisor(str(site.home / "run/supervisor.sock")).getProcessInfo("jupyter")["pid"])
    except RefusedError:
        return 0  # Between the old program and the new one there is none.


def main() -> int:
    """Measure, and say what was measured beside what was wanted."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks_environment")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is done; 3 unless told")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="jupyfleet-bench-") as directory:
        figures = installs(Path(directory), rounds) | rollbacks(Path(directory), rounds)
    for name, (figure, goal) in figures.items():
        print(f"{'ok    ' if figure <= goal else 'MISSED'} {name}: {figure:.2f} (goal {goal:.2f})")
    return int(any(figure > goal for figure, goal in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
