"""The probe against environments: programs that work, are missing, break or hang."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest
from probe_servers import Host, as_root, script

from jupyfleet_host import (
    probe_user,
)


def test_binary_missing(host: Host) -> None:
    host.lab.unlink()
    host.fails("jupyter-lab-binary", "does not exist", "jupyfleet up")


def test_binary_link_to_a_release_that_is_gone(host: Host) -> None:
    host.lab.unlink()
    host.lab.symlink_to("/nowhere/jupyter-lab")
    host.fails("jupyter-lab-binary", "link to nothing")


def test_binary_not_executable(host: Host) -> None:
    host.lab.chmod(0o644)
    host.fails("jupyter-lab-binary", "could not be started", "Permission denied")


def test_binary_that_breaks_says_its_last_line(host: Host) -> None:
    script(host.lab, "#!/bin/sh\necho Traceback >&2\necho 'ModuleNotFoundError: tornado' >&2\nexit 1\n")
    host.fails("jupyter-lab-binary", "ended with 1", "ModuleNotFoundError: tornado")


def test_binary_that_names_no_version(host: Host) -> None:
    script(host.lab, "#!/bin/sh\necho hello\n")
    host.fails("jupyter-lab-binary", "named no version", "hello")


def test_binary_that_hangs(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_user, "PROGRAM_SECONDS", 0.3)
    script(host.lab, "#!/bin/sh\nexec sleep 20\n")
    host.fails("jupyter-lab-binary", "did not end within", scope="build", profile="core")


def test_programs_get_no_environment_of_the_caller(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/evil")
    script(host.lab, '#!/bin/sh\nenv >&2\n[ -z "$PYTHONPATH" ] && echo 4.6.6\n')
    host.passes("jupyter-lab-binary")


@as_root
def test_programs_of_another_user_do_not_run_as_root(host: Host, open_folder: Path) -> None:
    script(open_folder / "bin/jupyter-lab", "#!/bin/sh\necho 4.$(id -u)\n")
    uid = pwd.getpwnam("nobody").pw_uid
    host.passes("jupyter-lab-binary", f"4.{uid}", environment=str(open_folder), user="nobody")


def test_spacy_is_skipped_with_its_reason(host: Host) -> None:
    core = host.verify(profile="core", spacy_model=None)["spacy-import"]
    assert (core["status"], core["detail"]) == ("skipped", "the profile core has no spaCy")
    bare = host.verify(spacy_model=None)["spacy-import"]
    assert (bare["status"], bare["detail"]) == ("skipped", "no spaCy model is set for this host")


def test_spacy_names_both_versions(host: Host) -> None:
    host.passes("spacy-import", "spaCy 3.8.2 loads en_core_web_sm 3.8.0")


def test_spacy_without_its_model(host: Host) -> None:
    host.spacy("def load(name): raise OSError('[E050] Can not find model ' + name)\n")
    host.fails("spacy-import", "[E050]", "en_core_web_sm")


def test_spacy_missing(host: Host) -> None:
    host.spacy("raise ImportError('No module named thinc')\n")
    host.fails("spacy-import", "No module named thinc")


def test_spacy_without_python(host: Host) -> None:
    host.python.unlink()
    host.fails("spacy-import", "does not exist")
