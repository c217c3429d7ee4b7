"""The ids that jupyter-server-fileid gives to files: a room's name holds one, and renaming leaves it as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyter_server_fileid.manager import ArbitraryFileIdManager

__all__ = ["FileIds"]


class FileIds:
    """Asks the server's file id manager, and its database only after it was changed.

    Every call of a tool asks several times. Only `ArbitraryFileIdManager`, Jupyter's default, answers from its database
    alone; any other manager (one looks at the disk as well) is asked every time.
    """

    def __init__(self, manager: Any) -> None:
        self.manager = manager
        self._alone = isinstance(manager, ArbitraryFileIdManager)
        self._changes = -1
        self._answers: dict[tuple[str, str], Any] = {}

    def of(self, path: str) -> str:
        """The id of the file at a canonical path; one is made when there is none."""
        found: str = self._kept("of", path, self.manager.index)
        return found

    def known(self, path: str) -> str | None:
        """Like `of`, and None instead of making one."""
        found: str | None = self._kept("known", path, self.manager.get_id)
        return found

    def path(self, file_id: str) -> str | None:
        """Where the file is now; None when it was deleted through Jupyter."""
        found: str | None = self._kept("path", file_id, self.manager.get_path)
        return found

    def _kept(self, question: str, about: str, ask: Callable[[str], Any]) -> Any:
        if not self._alone:
            return ask(about)
        if self.manager.con.total_changes != self._changes:
            self._answers.clear()
            self._changes = self.manager.con.total_changes
        if (question, about) in self._answers:
            return self._answers[question, about]
        # What is asked may itself change the database: then the next question clears this answer, which is no harm.
        answer = self._answers[question, about] = ask(about)
        return answer
