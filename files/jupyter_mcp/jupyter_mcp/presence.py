"""The agent in the list of collaborators: a name and a colour in JupyterLab, for as long as it is at work.

Browsers show who is in a notebook from its awareness, a shared table of short-lived states. An agent gets a row of its
own in the awareness of the rooms that it works in; it is renewed while the agent is active and taken out afterwards.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any

from pycrdt import Awareness, Doc

from .rooms import OpenNotebook
from .ticking import Ticker

__all__ = ["AGENT_PREFIX", "Presence"]

AGENT_PREFIX = "mcp:"
_ACTIVE_SECONDS = 60.0
# Clients drop states that have not been renewed for 30 seconds.
_RENEW_SECONDS = 10.0
_COLOURS = ("#7e57c2", "#00897b", "#ef6c00", "#c2185b", "#1e88e5", "#558b2f")
_MAX_NAME = 80


class _Agent:
    """One agent in one room."""

    def __init__(self, name: str, notebook: OpenNotebook) -> None:
        self.name = name
        self.room = notebook.room
        self.last_seen = time.monotonic()
        # An awareness of its own, for its client id; only its messages are used.
        self._awareness = Awareness(Doc())

    def show(self) -> None:
        digest = hashlib.sha256(self.name.encode()).digest()
        user = {
            "username": f"{AGENT_PREFIX}{self.name}",
            "name": self.name,
            "display_name": self.name,
            "initials": "".join(word[0] for word in self.name.split()[:2]).upper() or "AI",
            "color": _COLOURS[digest[0] % len(_COLOURS)],
            "avatar_url": None,
        }
        # The room saves by itself if anybody in it wants that; the agent has no say, for it saves on its own.
        self._publish({"user": user, "autosave": False, "agent": True})

    def hide(self) -> None:
        self._publish(None)

    def _publish(self, state: dict[str, Any] | None) -> None:
        self._awareness.set_local_state(state)
        message = self._awareness.encode_awareness_update([self._awareness.client_id])
        # "local" is what makes the room tell its clients.
        self.room.awareness.apply_awareness_update(message, "local")


class Presence:
    """Who of the agents is where. `touch` at every call that works on a notebook."""

    def __init__(self, log: logging.Logger, active_seconds: float = _ACTIVE_SECONDS) -> None:
        self._log = log
        self._active_seconds = active_seconds
        self._agents: dict[tuple[str, str], _Agent] = {}
        self._ticker = Ticker(min(_RENEW_SECONDS, active_seconds), self.renew)
        self.start = self._ticker.start
        self.busy: Callable[[str], bool] = lambda room_id: False

    def touch(self, notebook: OpenNotebook, name: str) -> None:
        """The agent is at work in this notebook now."""
        name = " ".join(name.split())[:_MAX_NAME] or "AI agent"
        key = (notebook.room_id, name)
        agent = self._agents.get(key)
        if agent is not None and agent.room is notebook.room:
            agent.last_seen = time.monotonic()
            return
        agent = self._agents[key] = _Agent(name, notebook)
        agent.show()

    def forget(self, notebook: OpenNotebook) -> None:
        """The room has been closed; there is nobody left to show anything to."""
        for key in [key for key, agent in self._agents.items() if agent.room is notebook.room]:
            del self._agents[key]

    async def stop(self) -> None:
        await self._ticker.stop()
        for key in list(self._agents):
            self._drop(key)

    async def renew(self) -> None:
        """Renew those at work, take out the others."""
        for key, agent in list(self._agents.items()):
            idle = time.monotonic() - agent.last_seen
            if idle >= self._active_seconds and not self.busy(key[0]):
                self._drop(key)
            else:
                try:
                    agent.show()
                except Exception as error:
                    self._log.debug("jupyter_mcp: presence of %s: %s", agent.name, error)
                    self._agents.pop(key, None)

    def _drop(self, key: tuple[str, str]) -> None:
        agent = self._agents.pop(key)
        try:
            agent.hide()
        except Exception as error:
            self._log.debug("jupyter_mcp: presence of %s: %s", agent.name, error)
