"""The HTTP endpoint: access first, then the ASGI application of FastMCP, in this process.

Order of the checks: Host and Origin (before anything else, and whoever asks), authentication, authorisation, size of
the body. A request that fails one is answered before its body is read.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from tornado import web
from tornado.web import HTTPError

from .access import HostPolicy, is_loopback
from .asgi import serve
from .caller import Caller, current_caller
from .gateway import Gateway

__all__ = ["MCPHandler"]

_NOT_TRUSTED_SITES = ("cross-site", "same-site")


def client_name(body: bytes) -> str | None:
    """The name that a client gives itself, which revision 2026-07-28 sends along with every request."""
    if b"io.modelcontextprotocol/clientInfo" not in body:
        return None
    try:
        info = json.loads(body)["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]
        name = info.get("title") or info["name"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return name if isinstance(name, str) else None


@web.stream_request_body
class MCPHandler(JupyterHandler):
    """POST carries MCP messages. Other methods have no meaning for a server without sessions: 405."""

    auth_resource = "mcp"

    def initialize(
        self,
        gateway: Gateway,
        policy: HostPolicy,
        body_limit: int,
        allow_without_auth: bool,
        agent_name: str,
        name: str = "",
    ) -> None:
        self._gateway = gateway
        self._agent_name = agent_name
        self._policy = policy
        self._body_limit = body_limit
        self._allow_without_auth = allow_without_auth
        self._body = bytearray()
        self._too_large = False
        self._call: asyncio.Task[None] | None = None

    # -- access ---------------------------------------------------------------------------------------------------

    async def prepare(self) -> None:  # type: ignore[override]
        self._check_addressee()
        # A token in an address ends up in histories and logs, so here it counts for nothing.
        for arguments in (self.request.arguments, self.request.query_arguments):
            arguments.pop("token", None)
        if not self.identity_provider.auth_enabled:
            self._check_without_auth()
        await super().prepare(_redirect_to_login=False)
        if self.current_user is None:
            raise HTTPError(403, "Send the server's token: 'Authorization: Bearer <token>'.")
        self._check_length()

    def _check_addressee(self) -> None:
        host = self.request.headers.get("Host", "")
        if not self._policy.host_allowed(host, self._local_address()):
            raise HTTPError(
                403,
                f"Host {host[:200]!r} is not a name of this server. "
                "If it should be, add it to JupyterMCP.allowed_hosts (MCP_ALLOWED_HOSTS).",
            )
        origin = self.request.headers.get("Origin")
        if origin is not None and not self._policy.origin_allowed(origin, host):
            raise HTTPError(
                403,
                f"Origin {origin[:200]!r} may not call this server. "
                "If it should, add it to JupyterMCP.allowed_origins (MCP_ALLOWED_ORIGINS).",
            )

    def _local_address(self) -> str | None:
        stream = getattr(self.request.connection, "stream", None)
        try:
            return str(stream.socket.getsockname()[0]) if stream is not None else None
        except (AttributeError, IndexError, OSError):
            return None

    def _check_without_auth(self) -> None:
        if not self._allow_without_auth:
            raise HTTPError(
                403,
                "This server runs without authentication, so MCP is off: whoever reached it could run code. "
                "Set a token, or JupyterMCP.allow_without_auth on a server that only listens on this machine.",
            )
        app = self.serverapp
        assert app is not None
        if not (getattr(app, "sock", "") or is_loopback(app.ip or "0.0.0.0")):  # noqa: S104
            raise HTTPError(403, "Without authentication MCP serves only on a loopback address.")

    def check_xsrf_cookie(self) -> None:
        if not hasattr(self, "_jupyter_current_user"):
            # Tornado asks before it is known who calls; Jupyter asks again afterwards.
            return
        if self.identity_provider.auth_enabled:
            # Token in the header: nothing to forge. Login cookie: Jupyter's XSRF check stands. Neither: `prepare`
            # refuses in the next step, with the reason that helps.
            if self._jupyter_current_user is not None:
                super().check_xsrf_cookie()
            return
        # Without authentication there is no cookie to tie a token to. A browser names the site that a request comes
        # from, and cannot send JSON to another site without asking first (which is refused).
        if self.request.headers.get("Sec-Fetch-Site", "none") in _NOT_TRUSTED_SITES:
            raise HTTPError(403, "Requests from other sites are refused.")
        if self.request.method == "POST":
            content_type = self.request.headers.get("Content-Type", "").split(";")[0].strip().lower()
            if content_type != "application/json":
                raise HTTPError(403, "Send application/json.")

    def set_secure_cookie(self, name: str, value: str | bytes, *args: Any, **kwargs: Any) -> None:
        """No login cookie: in a program's cookie jar it would outlive the token."""

    def get_login_url(self) -> str:
        raise HTTPError(403, "Send the server's token: 'Authorization: Bearer <token>'.")

    def _request_summary(self) -> str:
        # For the log: without the query, in which somebody may have put the token.
        return f"{self.request.method} {self.request.path} ({self.request.remote_ip})"

    # -- the body -------------------------------------------------------------------------------------------------

    def _check_length(self) -> None:
        try:
            length = int(self.request.headers.get("Content-Length", "0"))
        except ValueError:
            raise HTTPError(400, "Content-Length is not a number.") from None
        if length > self._body_limit:
            raise HTTPError(413, f"The request is larger than {self._body_limit} bytes.")

    def data_received(self, chunk: bytes) -> None:
        if len(self._body) + len(chunk) > self._body_limit:
            self._too_large = True
            self._body.clear()
        elif not self._too_large:
            self._body += chunk

    # -- methods --------------------------------------------------------------------------------------------------

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        if self._too_large:
            raise HTTPError(413, f"The request is larger than {self._body_limit} bytes.")
        body = bytes(self._body)
        app = await self._gateway.application(body)
        current_caller.set(self._caller(body))
        self._call = asyncio.ensure_future(serve(self, app, body))
        try:
            await self._call
        except asyncio.CancelledError:
            if not self.request.connection.stream.closed():  # type: ignore[union-attr]
                raise

    def _caller(self, body: bytes) -> Caller:
        user = self.current_user

        async def allowed(action: str, resource: str) -> bool:
            return bool(await ensure_async(self.authorizer.is_authorized(self, user, action, resource)))

        return Caller(agent=client_name(body) or self._agent_name, allowed=allowed)

    def on_connection_close(self) -> None:
        # The caller is gone: end the call. What it started in a kernel runs on.
        if self._call is not None:
            self._call.cancel()
        super().on_connection_close()

    async def _refuse(self) -> None:
        self.set_header("Allow", "POST")
        raise HTTPError(405, "Use POST.")

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        await self._refuse()

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def head(self) -> None:
        await self._refuse()

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def delete(self) -> None:
        await self._refuse()

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def put(self) -> None:
        await self._refuse()

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def patch(self) -> None:
        await self._refuse()

    @web.authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def options(self) -> None:
        await self._refuse()

    # -- answers --------------------------------------------------------------------------------------------------

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> str | None:
        return None

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """A JSON-RPC error without id, as the protocol has it for requests that are refused as a whole."""
        message = "Internal error; see the server's log."
        error = (kwargs.get("exc_info") or (None, None))[1]
        if isinstance(error, HTTPError):
            message = str(error.log_message or error.reason or "Refused.")
        if status_code == 405:
            self.set_header("Allow", "POST")
        self.set_header("Content-Type", "application/json")
        body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": message}}
        self.finish(json.dumps(body))
