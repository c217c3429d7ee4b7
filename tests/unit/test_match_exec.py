"""`Match exec` of an SSH configuration: what the shell says counts, and what goes wrong is said."""

from __future__ import annotations

import paramiko.config
import pytest
from paramiko import SSHConfig, SSHException

from deploy import match_exec


@pytest.mark.parametrize(("command", "port"), [("true", "2"), ("false", "1"), ("[ %h = lab ] && echo said", "2")])
def test_the_exit_code_of_the_shell_decides(command: str, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paramiko.config, "invoke", match_exec)
    config = SSHConfig.from_text(f'Match exec "{command}"\n  Port 2\nHost *\n  Port 1\n')
    assert config.lookup("lab")["port"] == port


def test_nobody_answers_its_questions() -> None:
    assert not match_exec.run("read answer").ok


def test_one_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match_exec, "_SECONDS", 0.2)
    with pytest.raises(SSHException, match="did not end within"):
        match_exec.run("exec sleep 60")


def test_a_shell_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/no/such/shell")
    with pytest.raises(SSHException, match=r"/no/such/shell.*No such file"):
        match_exec.run("true")
