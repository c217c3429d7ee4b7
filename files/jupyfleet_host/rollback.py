"""The proof of a switch of releases, and the way back.

A release that was made active is unproven until the server runs from it and passes its checks. When it does not, the
release before it is put back, restarted and checked in the same remote command, so that a host whose controller is
gone still ends with a server. What is unproven because a run was interrupted is proven, or taken back, by the next.

In system scope this runs as root, for supervisord's sake; what is below the home is changed as its owner.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from jupyfleet_host import probe, releases, service
from jupyfleet_host.common import HostError, Result, Spec, progress
from jupyfleet_host.identity import call_for

#: The variable in the program's file that makes supervisord restart it when the release changes.
MARK = "JUPYFLEET_RELEASE"


def prove(spec: Spec) -> Result:
    """Restart what changed and run every check: ``{"summary": sentence}``; else put the release before it back.

    The spec has `lock_file`, `link`, `keep` (how many releases), `owner` (of the home; none: the login user), `service`
    (see `service.ensure`, with `program_file`) and `probe` (see `probe.main`).
    """
    pair = _for_owner(spec, releases.pending, only_looks=True)["unproven"]
    if pair is None:
        return service.ensure(spec["service"])
    return _prove(spec, *pair)


def back(spec: Spec) -> Result:
    """Make an earlier release active and prove it: ``{"from": name, "to": name, "summary": sentence}``.

    The spec is that of `prove`, with `to`, the release's path, and `wanted`, the name of the one that settings ask for.
    """
    switched = _for_owner(spec, releases.go_back)
    active, to = switched["from"], switched["to"]
    _tell_supervisor(spec, to)
    _prove(spec, to, active)
    summary = f"{active} was active, {to} is now"
    if spec["wanted"] not in (None, to):
        summary += f"; the next up goes to the wanted {spec['wanted']} again"
    return {"from": active, "to": to, "summary": summary}


def _prove(spec: Spec, release: str, before: str) -> Result:
    if failure := _failure(spec):
        raise HostError(_take_back(spec, release, before, failure))
    removed = _for_owner(spec, releases.confirm)["removed"]
    old = f", {len(removed)} old removed" if removed else ""
    return {"summary": f"{release} passes every check{old}"}


def _take_back(spec: Spec, release: str, before: str, failure: str) -> str:
    """Put the release before back; the report of it all."""
    reason = f"release {release} was made active, and failed:\n{failure}"
    progress(f"putting release {before} back")
    try:
        _for_owner(spec, releases.take_back)
    except HostError as error:
        return f"{reason}\n{error}\nSo {release} stays active."
    _tell_supervisor(spec, before)
    if again := _failure(spec):
        return f"{reason}\nThe release before it, {before}, was put back, and fails as well:\n{again}"
    return f"{reason}\nThe release before it, {before}, was put back. It serves again and passes every check."


def _for_owner(spec: Spec, function: Callable[[Spec], Result], *, only_looks: bool = False) -> Result:
    return call_for(spec["owner"], function, spec, only_looks=only_looks)


def _tell_supervisor(spec: Spec, release: str) -> None:
    """Write the name of the active release into supervisord's file, which is what makes it restart the program."""
    file = Path(spec["service"]["program_file"])
    old = file.read_text()
    new = re.sub(rf'\b{MARK}="[^"]*"', f'{MARK}="{release}"', old)
    if new != old:
        beside = file.with_name(f".{file.name}.jupyfleet-new")
        beside.unlink(missing_ok=True)
        beside.touch(mode=0o600)
        beside.write_text(new)
        shutil.copystat(file, beside)
        beside.rename(file)


def _failure(spec: Spec) -> str:
    """Why the server does not serve as it should; nothing when it does."""
    try:
        service.ensure(spec["service"])
    except HostError as error:
        return str(error)
    progress("checking the server")
    failed = [check for check in probe.main(spec["probe"])["checks"] if check["status"] == "failed"]
    return "\n".join(f"{check['id']}: {check['detail']}" for check in failed)
