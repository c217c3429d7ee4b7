"""A person who saves is never asked what to do about a conflict that is none.

Before it saves, JupyterLab asks the server for the file's hash and time of modification (`GET /api/contents/PATH` with
``content=0&hash=1``), and asks the person whether to overwrite or to revert when they are not those it knows. It learns
of the saves that the server made from the shared document, and so always a moment after the file has changed: a Ctrl+S
within that moment, or news that overtake each other, end in a dialog, and "Revert" in lost work.

A notebook that is shared is written by this server alone, which compares the file with what it wrote before every
save. So for such a notebook this question is answered with nothing that could differ.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jupyter_server.services.contents.handlers import ContentsHandler

__all__ = ["NOTEBOOK_CONTENTS", "SharedContentsHandler"]

#: Where Jupyter Server has the contents of notebooks, below its base URL.
NOTEBOOK_CONTENTS = r"/api/contents(?P<path>(?:/[^/]+)*/[^/]+\.ipynb)"

# No tab knows a version that is older than this one.
_LONG_AGO = datetime.fromtimestamp(0, UTC)


class SharedContentsHandler(ContentsHandler):
    """Jupyter Server's own handler, but for the answer to one question about a notebook that is shared."""

    def _finish_model(self, model: dict[str, Any], location: bool = True) -> None:
        if self._asks_for_conflicts() and self._is_shared(model["path"]):
            model = {**model, "hash": None, "hash_algorithm": None, "last_modified": _LONG_AGO}
        super()._finish_model(model, location)  # type: ignore[no-untyped-call]

    def _asks_for_conflicts(self) -> bool:
        wanted = self.get_query_argument("content", "1"), self.get_query_argument("hash", "0")
        return self.request.method == "GET" and wanted == ("0", "1")

    def _is_shared(self, path: str) -> bool:
        # Imported by now: a room is only there once jupyter-collaboration has made it.
        from .upstream import Collaboration

        collaboration = Collaboration(self.settings)
        if not collaboration.available:
            return False
        room_id = collaboration.known_room_id(path)
        return room_id is not None and collaboration.find(room_id) is not None
