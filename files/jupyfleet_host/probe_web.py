"""Requests to the one server, straight to its address: no proxy, no redirect, and a token only ever in a header."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jupyfleet_host.probe_common import CheckError, Probe, describe, first_line

#: A host that is given more than the usual two minutes to start is given as many times more to answer.
REQUEST_SECONDS = 15.0
_USUAL_SECONDS = 120
MOST_BYTES = 16 * 1024 * 1024
#: What a gateway, or a server whose parts are still starting, answers.
NOT_YET = frozenset({502, 503, 504})
#: How Jupyter turns away a caller whose token it does not know.
REFUSALS = frozenset({301, 302, 303, 401, 403})
SERVED_WITH_ANOTHER = "the running server does not know the token in its file, restart it with jupyfleet up"


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        """The body, readable whatever it is."""
        return self.body.decode("utf-8", "replace")

    @property
    def kind(self) -> str:
        """The media type without parameters."""
        return self.headers.get_content_type()

    def shown(self) -> str:
        """Status and the body's first line, for a detail."""
        said = "" if self.kind == "text/html" else first_line(self.text)
        return f"{self.status} {said}".rstrip()


def patience(probe: Probe) -> float:
    """Seconds for one request."""
    return REQUEST_SECONDS * max(1.0, probe.timeout / _USUAL_SECONDS)


@contextlib.contextmanager
def stream(
    probe: Probe,
    method: str,
    path: str,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Send one request and hand out its answer unread; what the network does becomes what a person can use."""
    sent = {"Connection": "close", "User-Agent": "jupyfleet-verify", **(headers or {})}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    try:
        with contextlib.closing(_connection(probe, timeout or patience(probe))) as connection:
            connection.request(method, path, body=body, headers=sent)
            yield connection.getresponse()
    except ssl.SSLCertVerificationError as error:
        text = f"the server's certificate is not trusted ({error.verify_message})"
        raise CheckError(f"{text}: name the authority's certificate as ca_file", gone=True) from error
    except (OSError, http.client.IncompleteRead, http.client.RemoteDisconnected) as error:
        text = f"{probe.scheme} {path} got no answer ({describe(error)}): see {probe.log}"
        raise CheckError(text, gone=True, passing=True) from error
    except http.client.HTTPException as error:
        text = (
            f"what listens on {probe.address} does not speak HTTP ({describe(error)}): is the port another program's?"
        )
        raise CheckError(text, gone=True) from error


def get(
    probe: Probe, path: str, *, token: str | None = None, timeout: float | None = None, most: int = MOST_BYTES
) -> Answer:
    """GET a path, reading no more than `most` bytes."""
    with stream(probe, "GET", path, token=token, timeout=timeout) as response:
        return Answer(response.status, response.headers, response.read(most))


def _connection(probe: Probe, timeout: float) -> http.client.HTTPConnection:
    if probe.scheme != "https":
        return http.client.HTTPConnection(probe.host, probe.port, timeout=timeout)
    try:
        context = ssl.create_default_context(cafile=probe.ca_file)
    except OSError as error:
        text = f"ca_file {probe.ca_file} holds no certificate that can be read: {describe(error)}"
        raise CheckError(text, gone=True) from error
    # A certificate that is trusted by itself needs no authority.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # Loopback's name is in nobody's certificate.
    context.check_hostname = not is_loopback(probe.host)
    return http.client.HTTPSConnection(probe.host, probe.port, timeout=timeout, context=context)


def is_loopback(host: str) -> bool:
    """Whether a host is this very machine by definition."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
