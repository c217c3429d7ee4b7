"""A kept client of one kernel: requests go out, replies and outputs come back to the request that caused them.

Knows nothing of notebooks, cells or sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from jupyter_core.utils import ensure_async

from .errors import KernelDead, KernelFailed

__all__ = ["Identity", "KernelConnection", "Request", "identity_of"]

_POLL_SECONDS = 0.5
_READY_SECONDS = 60.0
_RESTART_SECONDS = 12.0
_KEPT_REQUESTS = 100

Message = dict[str, Any]
Identity = tuple[Any, ...]


class Request:
    """One execute request on its way. `messages` yields (msg_type, content); None ends it.

    `failure` says why it ended without the kernel having finished it. What the cell's threads print later goes to
    `late`, when somebody has set it.
    """

    def __init__(self) -> None:
        self.messages: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()
        self.reply: dict[str, Any] | None = None
        self.failure: str | None = None
        self.late: Callable[[str, dict[str, Any]], None] | None = None
        self._idle = False
        self._ended = False

    def take(self, msg_type: str, content: dict[str, Any]) -> None:
        if msg_type == "status":
            if content.get("execution_state") == "idle":
                self._idle = True
                self._end_if_done()
        elif not self._ended:
            self.messages.put_nowait((msg_type, content))
        elif self.late is not None:
            self.late(msg_type, content)

    def take_reply(self, content: dict[str, Any]) -> None:
        self.reply = content
        self._end_if_done()

    def fail(self, reason: str) -> None:
        if not self._ended:
            self.failure = reason
            self._ended = True
            self.messages.put_nowait(None)

    @property
    def ended(self) -> bool:
        return self._ended

    def _end_if_done(self) -> None:
        # Outputs come on another socket than the reply; both have to be through.
        if self._idle and self.reply is not None and not self._ended:
            self._ended = True
            self.messages.put_nowait(None)


def identity_of(manager: Any) -> Identity:
    """What changes when the kernel's process is replaced."""
    provisioner = getattr(manager, "provisioner", None)
    process = getattr(provisioner, "process", None)
    return (getattr(provisioner, "pid", None), id(process) if process is not None else None)


class KernelConnection:
    """A client of one kernel, kept for as long as the kernel lives."""

    def __init__(self, kernel_id: str, manager: Any, log: logging.Logger) -> None:
        self.kernel_id = kernel_id
        self._manager = manager
        self._log = log
        self._client: Any = None
        self._requests: dict[str, Request] = {}
        # Requests that have ended, for what their threads print later; the oldest go first.
        self._past: OrderedDict[str, Request] = OrderedDict()
        self._tasks: list[asyncio.Task[None]] = []
        self._watcher: asyncio.Task[None] | None = None
        self._heard: dict[str, asyncio.Event] = {}
        self._identity: Identity = ()

    async def start(self) -> None:
        """Connect, and prove that both replies and outputs arrive. KernelFailed after a minute without."""
        await self.wait_until_alive()
        self._identity = identity_of(self._manager)
        with contextlib.suppress(AttributeError):
            # Jupyter restarts a kernel that died by itself; not every kernel manager has a restarter.
            self._manager.add_restart_callback(self._on_died, "restart")
        self._client = self._manager.client()
        # A client of the manager has the manager's identity, and a kernel answers the newest with it. Others make such
        # clients, too: jupyter-resource-usage one per request, for every open tab.
        self._client.session.session = uuid.uuid4().hex
        self._client.start_channels(shell=True, iopub=True, stdin=True, hb=False, control=False)  # noqa: S604
        self._tasks = [
            asyncio.create_task(self._read(self._client.shell_channel, self._on_shell)),
            asyncio.create_task(self._read(self._client.iopub_channel, self._on_iopub)),
            asyncio.create_task(self._read(self._client.stdin_channel, self._on_stdin)),
        ]
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            message = self._client.session.msg("kernel_info_request", {})
            # An answer on IOPub proves that the subscription is through: no output will be missed.
            heard = self._heard[message["header"]["msg_id"]] = asyncio.Event()
            await self._send(message)
            try:
                await asyncio.wait_for(heard.wait(), 1.0)
            except TimeoutError:
                if not await self.alive():
                    break
                continue
            self._heard.clear()
            return
        self.stop()
        raise KernelFailed("The kernel does not answer. Call kernel_restart, or look at the server's log.")

    async def wait_until_alive(self) -> None:
        """Wait for Jupyter to start a kernel that died again; KernelDead when it does not."""
        for _ in range(int(_RESTART_SECONDS / _POLL_SECONDS)):
            if await self.alive():
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise KernelDead("The kernel is dead, so all its variables are gone. Call kernel_restart to get a new one.")

    async def alive(self) -> bool:
        return bool(await ensure_async(self._manager.is_alive()))

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        self.fail_all("the connection to the kernel was closed")
        with contextlib.suppress(AttributeError, ValueError):
            self._manager.remove_restart_callback(self._on_died, "restart")
        if self._client is not None:
            with contextlib.suppress(Exception):
                self._client.stop_channels()
            self._client = None

    @property
    def usable(self) -> bool:
        return self._client is not None and not any(task.done() for task in self._tasks)

    @property
    def is_outdated(self) -> bool:
        """Whether the kernel is another process by now.

        The new one has the old one's addresses, so requests would reach it; but what it prints first is lost until the
        subscription to its outputs is through, which only `start` proves.
        """
        return identity_of(self._manager) != self._identity

    async def _send(self, message: Message) -> None:
        """Send on the shell channel.

        The channel's own `send` writes past the asynchronous socket, which may swallow the one signal that a reply
        has arrived: the reply is then read with the next one, or never.
        """
        await self._client.shell_channel.socket.send_multipart(self._client.session.serialize(message))

    async def execute(self, code: str, cell_id: str) -> Request:
        """Send code to run; outputs arrive in the request that is returned."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            # Nobody is there to answer input(): the kernel is told, and raises at once.
            "allow_stdin": False,
            # What other callers queued behind this must run whatever becomes of this.
            "stop_on_error": False,
        }
        message = self._client.session.msg("execute_request", content, metadata={"cellId": cell_id})
        request = Request()
        self._requests[message["header"]["msg_id"]] = request
        await self._send(message)
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())
        return request

    def fail_all(self, reason: str) -> None:
        """End every request that has not ended."""
        for request in self._requests.values():
            request.fail(reason)
        self._requests.clear()
        self._past.clear()

    def _on_died(self) -> None:
        self.fail_all("the kernel died")

    async def _watch(self) -> None:
        """While something runs, see within a second when the process goes."""
        while True:
            for msg_id in [msg_id for msg_id, request in self._requests.items() if request.ended]:
                self._past[msg_id] = self._requests.pop(msg_id)
            while len(self._past) > _KEPT_REQUESTS:
                self._past.popitem(last=False)
            if not self._requests:
                return
            if self.is_outdated:
                self.fail_all("the kernel was restarted")
            elif not await self.alive():
                self.fail_all("the kernel died")
            await asyncio.sleep(_POLL_SECONDS)

    async def _read(self, channel: Any, handle: Callable[[Message], None]) -> None:
        while True:
            parts = await channel.socket.recv_multipart()
            try:
                message = self._client.session.deserialize(self._client.session.feed_identities(parts)[1])
            except (ValueError, KeyError, TypeError) as error:
                # A message that cannot be verified or parsed; the next one may be fine.
                self._log.warning("jupyter_mcp: unreadable message of kernel %s: %s", self.kernel_id, error)
                continue
            handle(message)

    def _on_shell(self, message: Message) -> None:
        request = self._requests.get(message["parent_header"].get("msg_id", ""))
        if request is not None and message["header"]["msg_type"] == "execute_reply":
            request.take_reply(message["content"])

    def _on_iopub(self, message: Message) -> None:
        parent = message["parent_header"].get("msg_id", "")
        heard = self._heard.get(parent)
        if heard is not None:
            heard.set()
        request = self._requests.get(parent) or self._past.get(parent)
        if request is not None:
            request.take(message["header"]["msg_type"], message["content"])

    def _on_stdin(self, message: Message) -> None:
        if message["header"]["msg_type"] != "input_request":
            return
        request = self._requests.get(message["parent_header"].get("msg_id", ""))
        if request is not None:
            # This kernel asks although it was told not to. An interrupt ends the wait.
            prompt = message["content"].get("prompt", "")
            text = f"The cell asked for input ({prompt!r}), which nobody can give here; it was interrupted.\n"
            request.take("stream", {"name": "stderr", "text": text})
            self._interrupting = asyncio.create_task(ensure_async(self._manager.interrupt_kernel()))
