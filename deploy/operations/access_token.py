"""The token of a host, replaced."""

from __future__ import annotations

from deploy.facts.hostscript import HostScriptError, ask, tell
from deploy.operations import Commands, host_operation
from deploy.settings import Settings


@host_operation
def rotated(settings: Settings) -> Commands:
    """Put a new token, made on the host, in the place of the old one. The server has to be told by a restart."""
    spec = {"token_file": str(settings.paths.token)}
    if settings.auth != "token":
        raise HostScriptError("this host is set to jupyter_auth 'none': there is no token to rotate.")
    if not ask("access_token", "is_there", spec, as_user=settings.paths.owner)["there"]:
        raise HostScriptError(f"there is no token {settings.paths.token} to rotate. Run jupyfleet up.")
    plan = [f"replace the token in {settings.paths.token}"]
    yield tell("access_token", "rotate", spec, plan=plan, as_user=settings.paths.owner)
