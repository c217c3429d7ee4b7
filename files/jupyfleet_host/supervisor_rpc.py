"""supervisord's own interface on its unix socket, which is how its user alone reaches it.

Errors are those of the network and of `xmlrpc.client`: what they mean differs from one caller to the next.
"""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from typing import Any


def proxy(path: str, timeout: float = 60) -> Any:
    """supervisord's methods, each call over a connection of its own: ``proxy(path).supervisor.getState()``.

    Nothing is asked before the first call; as a context manager it closes the last connection.
    """
    return xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(path, timeout))


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        self.close()
        connection = _Connection(self._path, self._timeout)
        self._connection = host, connection  # What `close` closes.
        return connection
