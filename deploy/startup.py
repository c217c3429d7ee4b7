"""What pyinfra and its libraries do at every start, or once more for every host, done once.

Nothing here changes what they do, only how often; `make bench-fleet` shows what it saves. `prepare` comes before
anything that opens a socket or starts a process, `after_pyinfra` once pyinfra has been imported.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


def prepare() -> None:
    """Let pyinfra's greenlets wait for sockets and processes, and leave unread what hardly anybody needs.

    The milliseconds are what each saves of some 400, which the program takes before it does anything.
    """
    from gevent import events, monkey

    # While it patches, gevent asks every installed distribution for its plugins, some twenty times over.
    vars(events)["notify_and_call_entry_points"] = vars(events)["notify"]
    monkey.patch_all(ssl=False)
    # TLS is for downloads, and for inventories that ask a web server (20 ms). pyinfra's program would patch it, too.
    _import_when_used("ssl", monkey.patch_ssl)
    vars(monkey)["patch_all"] = lambda **_: None
    # paramiko would use it for `Match exec` in an SSH configuration; `deploy.match_exec` does.
    _import_when_used("invoke")
    # typeguard, by which pyinfra checks arguments, lets mocks pass; here nothing is one, and nothing patched (17 ms).
    _import_when_used("unittest.mock", Mock=type("Mock", (), {}), patch=None)
    # pyinfra would take the one for older Pythons (10 ms).
    sys.modules.setdefault("importlib_metadata", importlib.metadata)
    # pydantic, too, would ask every installed distribution for plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def after_pyinfra() -> None:
    """Keep what pyinfra finds out for each host anew: its connectors, and the types of its arguments."""
    from pyinfra.api import arguments, connectors, facts

    connectors.entry_points = functools.cache(connectors.entry_points)
    known = functools.cache(arguments.all_global_arguments)
    for module in (arguments, facts):
        vars(module)["all_global_arguments"] = known
    # It has answered what it was wanted for, without having been read; others may want it whole.
    if isinstance(sys.modules.get("unittest.mock"), _Unread):
        del sys.modules["unittest.mock"]


class _Unread(ModuleType):
    """Stands for a module until something of it is used; whoever holds on to this one gets that one's things.

    (importlib's own LazyLoader reads a module as soon as somebody says ``import``, before Python 3.12.)
    """

    def __init__(self, name: str, read: Callable[[], object], known: Mapping[str, object]) -> None:
        super().__init__(name)
        vars(self).update(known, _read=read)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
            self._read()
        return getattr(sys.modules[self.__name__], name)


def _import_when_used(name: str, read: Callable[[], object] | None = None, **known: object) -> None:
    """Have a module read, by `import` or what else it takes, when something of it is used that is not `known`."""
    sys.modules.setdefault(name, _Unread(name, read or functools.partial(importlib.import_module, name), known))
