"""jupyter-lab-binary and spacy-import: what the active environment can prove before anything runs from it."""

from __future__ import annotations

import re
from pathlib import Path

from jupyfleet_host.probe_common import CheckError, Probe, last_line
from jupyfleet_host.probe_user import look_at, run_as, service_user

_SPACY_PROGRAM = """
import sys, spacy
model = spacy.load(sys.argv[1])
print(spacy.__version__, model.meta["version"])
"""


def check_binary(probe: Probe) -> str:
    """Prove that the environment holds a JupyterLab that starts far enough to name its version."""
    program = Path(probe.environment, "bin", "jupyter-lab")
    version = _run(probe, [str(program), "--version"], f"{program} --version fails")
    if not re.match(r"\d+\.\d+", version):
        raise CheckError(f"{program} --version named no version but {version!r}")
    return f"JupyterLab {version}"


def check_spacy(probe: Probe) -> str:
    """Prove that the environment's own Python loads spaCy and its language model."""
    model = str(probe.spacy_model)
    python = Path(probe.environment, "bin", "python")
    said = _run(probe, [str(python), "-I", "-B", "-c", _SPACY_PROGRAM, model], f"spaCy does not load {model}")
    versions = said.split()
    if len(versions) != 2:
        raise CheckError(f"spaCy named no versions but {said!r}")
    return f"spaCy {versions[0]} loads {model} {versions[1]}"


def _run(probe: Probe, argv: list[str], failing: str) -> str:
    """The last line that a program of the environment prints."""
    look_at(Path(argv[0]))
    done = run_as(service_user(probe.user), argv, probe)
    if done.returncode:
        reason = last_line(done.stderr) or last_line(done.stdout) or "it said nothing"
        raise CheckError(f"{failing}, it ended with {done.returncode}: {reason}")
    return last_line(done.stdout)
