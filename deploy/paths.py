"""Where things are: in jupyfleet itself, and on a host relative to the service user's home `H`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_PACKAGE = Path(__file__).resolve().parent
#: A wheel carries the data inside the package, a checkout beside it (see `pyproject.toml`).
_DATA = _PACKAGE / "_data" if (_PACKAGE / "_data").is_dir() else _PACKAGE.parent

TEMPLATES = _DATA / "templates"
FILES = _DATA / "files"
REQUIREMENTS = _DATA / "requirements"

#: supervisord's name of the server.
PROGRAM = "jupyter"


@dataclass(frozen=True)
class TlsFiles:
    """A certificate and its key, on the host."""

    certificate: PurePosixPath
    key: PurePosixPath


@dataclass(frozen=True)
class HostPaths:
    """Every path that jupyfleet uses below one home. All are absolute, on the host.

    `owner` is the service user, as whom everything below the home is made and looked at; None is the login user.
    """

    home: PurePosixPath
    owner: str | None = None

    @property
    def releases(self) -> PurePosixPath:
        """One directory per installed environment, named by its content."""
        return self.home / "releases"

    def release(self, identifier: str) -> PurePosixPath:
        return self.releases / identifier

    @property
    def environment(self) -> PurePosixPath:
        """The active environment: a symlink to a release."""
        return self.home / ".pixi/envs/default"

    @property
    def config(self) -> PurePosixPath:
        """Everything that jupyfleet configures."""
        return self.home / ".config/jupyfleet"

    @property
    def token(self) -> PurePosixPath:
        return self.config / "token"

    @property
    def own_tls_files(self) -> TlsFiles:
        """Those that the host makes for itself."""
        return TlsFiles(self.config / "tls/certificate.pem", self.config / "tls/key.pem")

    @property
    def jupyter_config(self) -> PurePosixPath:
        """JUPYTER_CONFIG_DIR of the server, apart from what a person keeps in ~/.jupyter."""
        return self.config / "jupyter"

    @property
    def data(self) -> PurePosixPath:
        """JUPYTER_DATA_DIR: file ids, kernels that people add, the collaboration store."""
        return self.home / "share/jupyter"

    @property
    def runtime(self) -> PurePosixPath:
        """Sockets, process ids and connection files; of no use after a reboot."""
        return self.home / "run"

    @property
    def logs(self) -> PurePosixPath:
        """Whoever runs supervisord writes them: root does not write where the service user could lead it astray."""
        return PurePosixPath("/var/log/jupyfleet") if self.owner else self.home / "log"

    @property
    def supervisor(self) -> PurePosixPath:
        """supervisord's configuration in user scope."""
        return self.config / "supervisor"

    @property
    def supervisor_socket(self) -> PurePosixPath:
        return self.runtime / "supervisor.sock"

    @property
    def tools(self) -> PurePosixPath:
        """Environments of the tools that run the server: apart from releases, which come and go."""
        return self.home / "tools"

    @property
    def pixi(self) -> PurePosixPath:
        """pixi itself, where its own installer would put it below a home."""
        return self.home / ".pixi"

    @property
    def cache(self) -> PurePosixPath:
        """Packages that pixi has fetched: on the same disk as the releases, which share them by hard links."""
        return self.home / "cache"

    @property
    def bundles(self) -> PurePosixPath:
        """What came instead of the internet, unpacked."""
        return self.home / "bundles"

    @property
    def lock(self) -> PurePosixPath:
        """Held while a deploy changes this home; that it is there tells that the home is jupyfleet's."""
        return self.home / ".jupyfleet.lock"

    @property
    def deploy_lock(self) -> PurePosixPath:
        """Held from a run's first change to its end, and says by whom; where root holds it, it needs no home yet."""
        return PurePosixPath("/run/jupyfleet.deploy") if self.owner else self.home / ".jupyfleet.deploy"

    def removable(self) -> list[PurePosixPath]:
        """What `down` removes below the home: all that a deploy made, and neither the workspace nor a person's own."""
        return [
            self.environment,
            self.releases,
            self.config,
            self.data,
            self.runtime,
            *([] if self.owner else [self.logs]),
            self.tools,
            self.pixi / "bin",
            self.cache,
            self.bundles,
            self.lock,
            *([] if self.owner else [self.deploy_lock]),
        ]
