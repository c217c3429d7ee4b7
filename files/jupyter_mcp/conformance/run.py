"""Run the protocol's conformance suite against a real server: `python conformance/run.py COMMAND [REVISION ...]`.

COMMAND is the suite's program (npm package @modelcontextprotocol/conformance, run by Node 22 or later), for example
'node_modules/.bin/conformance'. The suite cannot send a token, so a proxy on the loopback adds it, and passes Host and
Origin on as they are. Exit code 0 when nothing fails but what expected-failures-<revision>.yml names.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from live import LiveServer, free_port  # noqa: E402

REVISIONS = ("2025-11-25", "2026-07-28")


class Proxy(RequestHandler):
    """Passes every request on, with the token."""

    def initialize(self, server: LiveServer) -> None:
        self.server = server

    async def forward(self) -> None:
        headers = {name: value for name, value in self.request.headers.items() if name.lower() != "content-length"}
        method = self.request.method or "GET"
        self._headers_sent = False

        def on_header(line: str) -> None:
            line = line.strip()
            if line.startswith("HTTP/"):
                self.set_status(int(line.split()[1]))
            elif ":" in line:
                name, value = line.split(":", 1)
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.set_header(name, value.strip())

        def on_chunk(chunk: bytes) -> None:
            self.write(chunk)
            self.flush()

        request = HTTPRequest(
            self.server.mcp_url,
            method=method,
            headers={**headers, **self.server.headers},
            body=self.request.body if method in ("POST", "PUT", "PATCH") else None,
            header_callback=on_header,
            streaming_callback=on_chunk,
            request_timeout=60,
            follow_redirects=False,
            allow_nonstandard_methods=True,
            decompress_response=False,
        )
        await AsyncHTTPClient().fetch(request, raise_error=False)
        await self.finish()

    get = post = put = delete = patch = options = head = forward  # type: ignore[assignment]


async def main(command: list[str], revisions: list[str]) -> int:
    server = LiveServer(Path(tempfile.mkdtemp(prefix="conformance-")))
    server.start()
    port = free_port()
    options: dict[str, Any] = {"server": server}
    proxy = HTTPServer(Application([(r"/mcp", Proxy, options)]))
    proxy.listen(port, "127.0.0.1")
    worst = 0
    try:
        for revision in revisions:
            arguments = ["server", "--url", f"http://localhost:{port}/mcp", "--requirements", revision]
            arguments += ["--expected-failures", str(HERE / f"expected-failures-{revision}.yml")]
            process = await asyncio.create_subprocess_exec(*command, *arguments)
            worst = max(worst, await process.wait())
    finally:
        proxy.stop()
        await asyncio.to_thread(server.stop)
    return worst


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(shlex.split(sys.argv[1]), sys.argv[2:] or list(REVISIONS))))
