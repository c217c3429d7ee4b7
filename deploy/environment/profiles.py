"""The packages of each profile, under every name that they have: the one place that the locks, pixi's manifest and the
documentation are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Package:
    """One package: a requirement of PyPI, the specifications of conda-forge, and what Fedora calls it or what it needs.

    Without `conda` the provider pixi takes it from PyPI, in the same lock, or, where it is `added`, after pixi's solve,
    with pip and a lock of its own; without `pypi` only pixi has it.
    `rpm` are packages of the host that the one from PyPI is of little use without; conda-forge's brings its own.
    """

    pypi: str | None
    conda: tuple[str, ...] = ()
    rpm: tuple[str, ...] = ()
    added: bool = False


@dataclass(frozen=True)
class Profile:
    """A named list of packages; `trials` are commands of the environment that prove it before it is used.

    `megabytes` is what an installation takes, as measured, generously rounded up.
    """

    name: str
    meaning: str
    packages: tuple[Package, ...]
    trials: tuple[tuple[str, ...], ...]
    megabytes: int

    @property
    def requirements(self) -> tuple[str, ...]:
        """For the provider uv: all of it from PyPI."""
        return tuple(package.pypi for package in self.packages if package.pypi)

    @property
    def conda(self) -> tuple[str, ...]:
        """For the provider pixi: what comes from conda-forge."""
        return tuple(spec for package in self.packages for spec in package.conda)

    @property
    def beside_conda(self) -> tuple[str, ...]:
        """For the provider pixi: what comes from PyPI, by pixi itself."""
        return tuple(pack.pypi for pack in self.packages if pack.pypi and not pack.conda and not pack.added)

    @property
    def added(self) -> tuple[str, ...]:
        """For the provider pixi: what comes from PyPI once pixi has solved the rest, and never changes that."""
        return tuple(pack.pypi for pack in self.packages if pack.pypi and pack.added)

    @property
    def rpm(self) -> tuple[str, ...]:
        """For the provider uv: packages of the host that some of it needs."""
        return tuple(dict.fromkeys(name for package in self.packages for name in package.rpm))


def _same(requirement: str, *rpm: str) -> Package:
    """A package whose requirement reads the same at both."""
    return Package(requirement, (requirement,), rpm)


#: Floors are the first releases without known holes. jupyter_mcp leans on private parts of the collaboration rooms,
#: so the minor version of jupyter-server-ydoc is pinned on purpose. jsonschema 4.25 and later bring a parser that takes
#: half of the time in which a Jupyter Server starts, for formats that nothing here checks.
_CORE = (
    _same("jupyterlab>=4.6.2"),
    Package("jupyter-server>=2.21.0", ("jupyter_server>=2.21.0",)),
    Package("jupyter-collaboration>=5"),
    Package("jupyter-server-ydoc~=3.0.4"),
    _same("ipykernel"),
    _same("ipywidgets"),
    Package("jupyterlab-git", ("jupyterlab-git", "git"), ("git",)),
    _same("jupyter-resource-usage"),
    _same("jsonschema<4.25"),
    Package("fastmcp>=3.2.0", added=True),
    Package("mcp>=1.28.1", added=True),
    Package("starlette>=1.0.1", added=True),
)
_SCIENCE = (
    _same("matplotlib"),
    _same("seaborn"),
    _same("pandas"),
    _same("numpy"),
    _same("scikit-learn"),
    _same("scipy"),
    _same("polars"),
    _same("pyarrow"),
    Package("duckdb", ("python-duckdb",)),
    _same("spacy"),
    _same("black"),
    _same("pytest"),
    Package("graphviz", ("python-graphviz", "graphviz"), ("graphviz",)),
    _same("pyyaml"),
    _same("tqdm"),
)
#: Not on PyPI: `jupyter_spacy_model` says where the provider uv gets it.
SPACY_MODEL: Final = Package(None, ("spacy-model-en_core_web_sm",))
#: What pixi's environments stand on; pip adds what comes after pixi's solve, and the extension.
CONDA_BASE: Final = ("python>=3.11,<3.14", "pip")

_CORE_TRIALS = (("jupyter-lab", "--version"), ("python", "-c", "import jupyter_mcp, jupyter_server_ydoc, ipykernel"))
SPACY_TRIAL: Final = ("python", "-c", "import spacy; spacy.load('en_core_web_sm')")

PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile("core", "JupyterLab, collaboration and MCP", _CORE, _CORE_TRIALS, 600),
        Profile(
            "full",
            "core, data science and NLP",
            _CORE + _SCIENCE,
            (*_CORE_TRIALS, ("python", "-c", "import numpy, pandas, sklearn, spacy, duckdb, pyarrow")),
            2000,
        ),
    )
}
