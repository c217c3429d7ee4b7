"""Who closes the window has left: taken out of the list of collaborators at once, for people and agents alike.

A browser that goes without a word stays in its rooms' awareness until its state has not been renewed for 30 seconds.
Here every state is known by the connection that it came from, and goes with it. Nothing here knows of agents, which
have no connection.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from pycrdt import Decoder, YMessageType, read_message

__all__ = ["drop_who_leaves"]

# The connection on whose behalf a room reads messages now. A room tells its `on_message` the message only.
_connection: ContextVar[object | None] = ContextVar("jupyter_mcp_connection", default=None)


def drop_who_leaves(websocket_server: Any) -> None:
    """From now on, for every connection that begins. `websocket_server`: of pycrdt.websocket."""
    plain = websocket_server.serve
    # Room, client id, connection. Browsers pass on what they hear of others: a state is its first sender's.
    senders: WeakKeyDictionary[Any, dict[int, object]] = WeakKeyDictionary()

    async def serve(websocket: Any) -> None:
        room = websocket_server.rooms.get(websocket.path)
        if room is None or (room not in senders and room.on_message is not None):
            await plain(websocket)
            return
        if room not in senders:
            known = senders[room] = {}
            room.on_message = lambda message: _note(message, known)
        _connection.set(websocket)
        try:
            await plain(websocket)
        finally:
            _drop(room.awareness, senders[room], websocket)

    websocket_server.serve = serve


def _note(message: bytes, senders: dict[int, object]) -> bool:
    """Remember who sent a state. False: the room takes the message as ever."""
    if message and message[0] == YMessageType.AWARENESS:
        for client_id in _client_ids(read_message(message[1:])):
            senders.setdefault(client_id, _connection.get())
    return False


def _client_ids(update: bytes) -> list[int]:
    decoder = Decoder(update)
    found = []
    for _ in range(decoder.read_var_uint()):
        found.append(decoder.read_var_uint())
        decoder.read_var_uint()
        decoder.read_var_string()
    return found


def _drop(awareness: Any, senders: dict[int, object], connection: object) -> None:
    left = [client_id for client_id, sender in senders.items() if sender is connection]
    for client_id in left:
        del senders[client_id]
    # An agent's state that a browser passed on is not the browser's, nor is the room's own.
    left = [
        client_id
        for client_id in left
        if client_id != awareness.client_id and not (awareness.states.get(client_id) or {}).get("agent")
    ]
    # "local" is what makes the room tell its other clients.
    awareness.remove_awareness_states(left, "local")
    for client_id in left:
        # Who comes back says what it said last, which would be old news.
        awareness.meta.pop(client_id, None)
