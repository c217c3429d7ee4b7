"""The packages of each profile: the one place that locks and documentation are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Profile:
    """A named list of packages; `trials` are commands of the environment that prove it before it is used."""

    name: str
    meaning: str
    requirements: tuple[str, ...]
    trials: tuple[tuple[str, ...], ...]


#: Floors are the first releases without known holes. jupyter_mcp leans on private parts of the collaboration rooms,
#: so the minor version of jupyter-server-ydoc is pinned on purpose.
_CORE = (
    "jupyterlab>=4.6.2",
    "jupyter-server>=2.21.0",
    "jupyter-collaboration>=5",
    "jupyter-server-ydoc~=3.0.4",
    "ipykernel",
    "ipywidgets",
    "jupyterlab-git",
    "jupyter-resource-usage",
    "fastmcp>=3.2.0",
    "mcp>=1.28.1",
    "starlette>=1.0.1",
)
_SCIENCE = (
    "matplotlib",
    "seaborn",
    "pandas",
    "numpy",
    "scikit-learn",
    "scipy",
    "polars",
    "pyarrow",
    "duckdb",
    "spacy",
    "black",
    "pytest",
    "graphviz",
    "pyyaml",
    "tqdm",
)
_CORE_TRIALS = (("jupyter-lab", "--version"), ("python", "-c", "import jupyter_mcp, jupyter_server_ydoc, ipykernel"))

PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile("core", "JupyterLab, collaboration and MCP", _CORE, _CORE_TRIALS),
        Profile(
            "full",
            "core, data science and NLP",
            _CORE + _SCIENCE,
            (*_CORE_TRIALS, ("python", "-c", "import numpy, pandas, sklearn, spacy, duckdb, pyarrow")),
        ),
    )
}
