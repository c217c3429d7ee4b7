"""The files of a host as their readers see them: Jupyter's Python, supervisord's ini, JSON; also with odd values."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.components import ORDER
from deploy.components.workspace import Workspace
from deploy.facts.machine import Machine
from deploy.paths import REQUIREMENTS, TEMPLATES
from deploy.settings import Settings, read_settings
from deploy.tree import File, Tree
from jupyfleet_host import tree as host_tree
from jupyfleet_host.distribution import FAMILIES
from jupyfleet_host.package_index import environment_for_uv
from jupyfleet_host.share import unit_name

ODD = {
    "plain": {"jupyter_home": "/srv/lab"},
    "spaces": {"jupyter_home": "/srv/my lab", "jupyter_workspace": "/srv/My  Notebooks & more (1)"},
    "letters": {"jupyter_home": "/srv/Übung", "jupyter_workspace": "/srv/ノート"},
    "shell": {"jupyter_home": "/srv/~x!|&<>{}()^=", "jupyter_base_url": "/a/b_c~d/"},
    "no token": {"jupyter_home": "/srv/lab", "jupyter_auth": "none", "jupyter_bind": "::1"},
    "all set": {
        "jupyter_home": "/srv/lab",
        "jupyter_port": 1,
        "jupyter_bind": "0.0.0.0",
        "jupyter_base_url": "/lab1/",
        "jupyter_mcp_room_idle_timeout": 7,
        "jupyter_profile": "full",
    },
    "system": {"jupyter_scope": "system", "jupyter_allowed_hosts": ["lab1.example.org", "*.lab.example.org"]},
    "virtiofs": {
        "jupyter_scope": "system",
        "jupyter_workspace": "/srv/My Notebooks",
        "jupyter_workspace_mount": "virtiofs",
        "jupyter_workspace_tag": "notebooks",
    },
}
VIRTIOFS = ODD["virtiofs"]

#: Whoever is root in it may mount what this machine does not see.
NAMESPACE = ("unshare", "--map-root-user", "--mount")


@pytest.fixture(params=ODD, ids=list(ODD))
def settings(request: pytest.FixtureRequest) -> Settings:
    return read_settings("lab1", ODD[request.param])


def tree_of(settings: Settings) -> Tree:
    machine = Machine(distribution=FAMILIES["fedora"] if settings.scope == "system" else None)
    tree = Tree()
    for component in ORDER:
        component(settings, machine).configure(tree)
    return tree


def file_of(settings: Settings, name: str) -> str:
    [file] = [entry for entry in tree_of(settings) if isinstance(entry, File) and entry.path.name == name]
    return file.content.decode()


def test_every_template_is_rendered_onto_a_host_under_its_name() -> None:
    trees = [tree_of(read_settings("lab1", ODD[name])) for name in ("plain", "system")]
    names = {entry.path.name for tree in trees for entry in tree}
    # A share is mounted before anything is laid down, so its unit is in no tree; pixi.toml is a release's.
    assert {template.name.removesuffix(".j2") for template in TEMPLATES.iterdir()} <= names | {
        "workspace.mount",
        "pixi.toml",
    }


def test_nothing_of_a_template_is_left_and_nothing_is_empty(settings: Settings) -> None:
    for entry in tree_of(settings):
        if isinstance(entry, File) and not entry.seed:
            text = entry.content.decode()
            assert "{{" not in text.replace(settings.home, ""), entry.path
            assert "{%" not in text, entry.path
            assert text.endswith("\n"), entry.path
            assert not any(line != line.rstrip() for line in text.splitlines()), entry.path


def test_the_same_settings_give_the_same_files(settings: Settings) -> None:
    assert tree_of(settings).described(content=True) == tree_of(settings).described(content=True)


def test_only_the_owner_may_read_what_is_configured(settings: Settings) -> None:
    for entry in tree_of(settings):
        if entry.path.is_relative_to(settings.paths.config):
            assert entry.mode & 0o077 == 0, entry.path


# --- JSON -----------------------------------------------------------------------------------------------------------


def test_the_extension_is_open_only_where_everything_is(settings: Settings) -> None:
    document = json.loads(file_of(settings, "jupyter_jupyter_mcp_config.json"))
    assert document["JupyterMCP"]["allow_without_auth"] is (settings.auth == "none")


# --- Python ---------------------------------------------------------------------------------------------------------

_RUN = """
import json, runpy, sys, types
class Section(dict):
    def __getattr__(self, name):
        return self.setdefault(name, Section())
    __setattr__ = dict.__setitem__
c = Section()
class ServerApp:  # Where tests of templates run there is no Jupyter; the end-to-end tests have it.
    def server_info(self): return {"port": 8888, "token": "s3cret"}
    def write_browser_open_files(self): raise AssertionError("the token would be in them")
serverapp = types.ModuleType("jupyter_server.serverapp")
serverapp.ServerApp = ServerApp
sys.modules |= {"jupyter_server": types.ModuleType("jupyter_server"), "jupyter_server.serverapp": serverapp}
runpy.run_path(sys.argv[1], {"get_config": lambda: c})
if "IdentityProvider" not in c:
    assert ServerApp().server_info() == {"port": 8888, "token": ""}
    ServerApp().write_browser_open_files()
print(json.dumps(c))
"""


def run_configuration(settings: Settings, top: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Jupyter's configuration as Jupyter does: with `get_config`, in the service's environment."""
    file = top / "jupyter_server_config.py"
    file.write_text(file_of(settings, file.name))
    command = [sys.executable, "-c", _RUN, str(file)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("s3cret")
    file.chmod(0o600)
    return file


def test_jupyter_s_configuration_compiles_and_says_what_the_settings_say(
    settings: Settings, tmp_path: Path, token_file: Path
) -> None:
    compile(file_of(settings, "jupyter_server_config.py"), "jupyter_server_config.py", "exec")
    done = run_configuration(settings, tmp_path, JUPYTER_TOKEN_FILE=str(token_file))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    server = found["ServerApp"]
    assert server["ip"] == settings.bind
    assert server["port"] == settings.port
    assert server["port_retries"] == 0
    assert server["base_url"] == settings.base_url
    assert server["root_dir"] == settings.workspace
    assert server["allow_unauthenticated_access"] is (settings.auth == "none")
    assert found["SQLiteYStore"]["db_path"] == f"{settings.home}/share/jupyter/collaboration.db"
    assert ("IdentityProvider" in found) is (settings.auth == "none")


@pytest.mark.parametrize("wrong", ["missing", "empty", "newline", "readable", "directory", "unset"])
def test_without_a_good_token_the_server_does_not_start(tmp_path: Path, token_file: Path, wrong: str) -> None:
    if wrong in ("missing", "directory"):
        token_file.unlink()
    if wrong == "directory":
        token_file.mkdir()
    if wrong in ("empty", "newline"):
        token_file.write_text({"empty": "", "newline": "s3cret\n"}[wrong])
    if wrong == "readable":
        token_file.chmod(0o640)
    environ = {} if wrong == "unset" else {"JUPYTER_TOKEN_FILE": str(token_file)}
    done = run_configuration(read_settings("lab1", ODD["plain"]), tmp_path, JUPYTER_TOKEN="from outside", **environ)
    assert done.returncode not in (0, 1), "a refusal, and no accident"
    assert "not starting" in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr


# --- ini ------------------------------------------------------------------------------------------------------------


def ini(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(text)
    return parser


@pytest.mark.parametrize("name", [name for name, data in ODD.items() if "jupyter_scope" not in data])
def test_supervisord_s_own_file_is_an_ini_file_with_the_paths_as_they_are(name: str) -> None:
    settings = read_settings("lab1", ODD[name])
    conf = ini(file_of(settings, "supervisord.conf"))
    assert conf["supervisord"]["directory"] == settings.home
    assert conf["unix_http_server"]["file"] == f"{settings.home}/run/supervisor.sock"
    assert conf["unix_http_server"]["chmod"] == "0700"


def test_the_program_s_file_is_an_ini_file_with_the_paths_as_they_are(settings: Settings) -> None:
    program = ini(file_of(settings, "jupyter.ini"))["program:jupyter"]
    assert shlex.split(program["command"])[-1] == f"{settings.home}/.pixi/envs/default/bin/jupyter-lab"
    assert program["directory"] == settings.workspace
    assert program.get("user") == settings.user


def test_no_secret_stands_in_a_file_of_the_service(settings: Settings) -> None:
    text = file_of(settings, "jupyter.ini")
    assert ("JUPYTER_TOKEN_FILE" in text) is (settings.auth == "token")
    assert "JUPYTER_TOKEN=" not in text


def test_the_server_is_restarted_by_what_changes_it_and_by_nothing_else() -> None:
    """supervisord restarts a program whose section differs."""

    def program(**data: Any) -> str:
        return file_of(read_settings("lab1", ODD["plain"] | data), "jupyter.ini")

    assert program(jupyter_keep_releases=9, jupyter_uv="/usr/bin/uv") == program()
    changes: list[dict[str, Any]] = [
        {"jupyter_port": 9000},
        {"jupyter_bind": "0.0.0.0"},
        {"jupyter_auth": "none"},
        {"jupyter_base_url": "/x/"},
        {"jupyter_workspace": "/data"},
        {"jupyter_profile": "full"},
        {"jupyter_extra_packages": ["altair"]},
        {"jupyter_mcp_room_idle_timeout": 7},
        {"jupyter_mcp_publish": True},
    ]
    assert len({program(), *(program(**change) for change in changes)}) == len(changes) + 1


# --- ini, as supervisord itself reads it ----------------------------------------------------------------------------

_READ = """
import json, sys
from supervisor.options import ServerOptions
options = ServerOptions()
options.realize(["--configuration", sys.argv[1]])
[group] = options.process_group_configs
[program] = group.process_configs
print(json.dumps({"identifier": options.identifier, "directory": options.directory, "logfile": options.logfile,
    "pidfile": options.pidfile, "server": options.server_configs[0]["file"],
    "program": {name: getattr(program, name) for name in
        ("name", "command", "directory", "environment", "stdout_logfile", "killasgroup", "redirect_stderr")}}))
"""


@pytest.fixture(scope="session")
def supervisor_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with the supervisor of the lock, from wherever this machine's pip gets its packages."""
    path, uv = tmp_path_factory.mktemp("supervisor") / "env", Path(sys.executable).parent / "uv"
    environ = os.environ | environment_for_uv(os.environ, Path.home())
    lock = REQUIREMENTS / "supervisor.txt"
    subprocess.run([uv, "--quiet", "venv", "--python", sys.executable, path], env=environ, check=True)
    install = [uv, "--quiet", "pip", "install", "--python", path / "bin/python", "--require-hashes", "-r", lock]
    done = subprocess.run(install, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"supervisor cannot be installed here: {done.stderr.strip()[-200:]}")
    return str(path / "bin/python")


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jf-") as scratch:
        yield Path(scratch)


def test_supervisord_reads_the_question_for_the_share(supervisor_python: str, short: Path) -> None:
    settings = read_settings("vm1", VIRTIOFS | {"jupyter_user": "nobody"})
    question = ini(file_of(settings, "jupyter.ini"))["program:jupyter"]["command"]
    conf = short / "supervisord.conf"
    server = f"[supervisord]\n[unix_http_server]\nfile={short}/socket\n"
    conf.write_text(server + file_of(settings, "jupyter.ini").replace("/var/log/jupyfleet", str(short)))
    done = subprocess.run([supervisor_python, "-W", "ignore", "-c", _READ, conf], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["program"]["command"] == question


@pytest.mark.parametrize("name", ["lab", "my  lab (1)", "~x!|&<>{}^=", "Übung"])
@pytest.mark.parametrize("auth", ["token", "none"])
def test_supervisord_reads_what_was_meant(supervisor_python: str, short: Path, name: str, auth: str) -> None:
    home, workspace = short / name, short / f"Notebooks of {name}"
    data = {"jupyter_home": str(home), "jupyter_workspace": str(workspace), "jupyter_auth": auth}
    settings = read_settings("lab1", data | {"jupyter_mcp_publish": True})
    host_tree.apply({"entries": tree_of(settings).described(content=True)})
    conf = settings.paths.supervisor / "supervisord.conf"
    environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    command = [supervisor_python, "-W", "ignore", "-c", _READ, str(conf)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["identifier"].startswith("jupyfleet-")
    assert found["directory"] == str(home)
    assert found["server"] == f"{home}/run/supervisor.sock"
    assert found["logfile"] == f"{home}/log/supervisord.log"
    program = found["program"]
    assert program["name"] == "jupyter"
    assert shlex.split(program["command"]) == [f"{home}/.pixi/envs/default/bin/jupyter-lab"]
    assert program["directory"] == str(workspace)
    assert program["stdout_logfile"] == f"{home}/log/jupyter.log"
    assert program["killasgroup"] is True
    variables = program["environment"]
    assert variables["PATH"] == f"{home}/.pixi/envs/default/bin:/usr/bin:/bin"
    assert variables["JUPYTER_CONFIG_DIR"] == f"{home}/.config/jupyfleet/jupyter"
    assert variables["MCP_ROOM_IDLE_TIMEOUT_SEC"] == "600"
    server = {"name": "jupyfleet", "url": "http://127.0.0.1:8888/mcp", "transport": "streamable-http"}
    assert json.loads(variables["OV_MCP_SERVERS"]) == [server]
    assert variables.get("JUPYTER_TOKEN_FILE") == (f"{home}/.config/jupyfleet/token" if auth == "token" else None)


# --- system scope ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "path"),
    [("fedora", "/etc/supervisord.d/jupyter.ini"), ("debian", "/etc/supervisor/conf.d/jupyter.conf")],
)
def test_the_program_s_file_is_where_the_distribution_s_supervisord_looks(family: str, path: str) -> None:
    settings = read_settings("lab1", ODD["system"])
    tree = Tree()
    for component in ORDER:
        component(settings, Machine(distribution=FAMILIES[family])).configure(tree)
    outside = {str(entry.path): f"{entry.mode:04o}" for entry in tree if entry.system}
    assert outside == {"/etc/profile.d/jupyfleet.sh": "0644", "/var/log/jupyfleet": "0700", path: "0644"}
    inside = [entry.path for entry in tree if not entry.system]
    assert all(path.is_relative_to(settings.home) for path in inside)


def test_a_share_is_mounted_by_a_unit_that_systemd_accepts(tmp_path: Path) -> None:
    settings = read_settings("vm1", VIRTIOFS)
    labels = {has: Workspace(settings, Machine(has_selinux=has)).mount_unit() for has in (False, True)}
    unit = ini(labels[False].replace("#", ";"))
    assert dict(unit["Mount"]) == {
        "what": "notebooks",
        "where": "/srv/My Notebooks",
        "type": "virtiofs",
        "options": "nofail",
        "timeoutsec": "60",
    }
    assert unit["Unit"]["before"] == "supervisor.service supervisord.service"
    assert 'Options=nofail,context="system_u:object_r:user_home_t:s0"\n' in labels[True]
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    name = unit_name(settings.workspace)
    for text in labels.values():
        (tmp_path / name).write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", tmp_path / name], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "path", ["/srv/notebooks", "/srv/My Notebooks", "/home/a-b/.x", "/Übung/ノート", "//srv//a/", "/.a"]
)
def test_a_mount_unit_has_the_name_that_systemd_gives(path: str) -> None:
    if shutil.which("systemd-escape") is None:
        pytest.skip("there is no systemd-escape")
    argv = ["systemd-escape", "--path", "--suffix=mount", path]
    assert unit_name(path) == subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("mounts", "is_there"),
    [
        ('mount -t tmpfs notebooks "$1"', True),
        ('mount -t tmpfs other "$1"', False),
        ('mount -t tmpfs notebooks "$1"; mount -t tmpfs other "$1"', False),
        ('mount -t ramfs notebooks "$1"', False),
        ('mount -t tmpfs notebooks "${1%/*}"; mkdir "$1"', False),
        ("true", False),
    ],
    ids=["mounted", "another tag", "another on top", "another file system", "mounted above", "not mounted"],
)
def test_without_its_share_the_server_does_not_start(tmp_path: Path, mounts: str, is_there: bool) -> None:
    """In a namespace of mounts, with another file system in virtiofs's place, which only a guest has."""
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no namespace of mounts")
    workspace, lab = tmp_path / "share/My Notebooks", tmp_path / "jupyter-lab"
    workspace.mkdir(parents=True)
    lab.write_text("#!/bin/sh\necho served\n")
    lab.chmod(0o755)
    settings = read_settings("vm1", VIRTIOFS | {"jupyter_workspace": str(workspace)})
    *command, program = shlex.split(ini(file_of(settings, "jupyter.ini"))["program:jupyter"]["command"])
    assert program == f"{settings.paths.environment}/bin/jupyter-lab"
    argv = [part.replace("virtiofs", "tmpfs") for part in (*command, str(lab))]
    script = f'{mounts}; shift; exec "$@"'
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", script, "sh", str(workspace), *argv], capture_output=True, text=True, check=False
    )
    said = f"jupyfleet: the workspace {workspace} is not mounted from tag notebooks: not starting before it is."
    assert (done.returncode, done.stdout) == ((0, "served\n") if is_there else (75, ""))
    assert (said in done.stderr) is not is_there


def test_login_shells_of_the_service_user_alone_find_the_environment() -> None:
    script = file_of(read_settings("lab1", ODD["system"]), "jupyfleet.sh")
    show = 'printf "%s\n" "$PATH" "$PIXI_CACHE_DIR"'
    argv = ["sh", "-c", f"id() {{ echo $WHO; }}\n{script}\n{show}"]
    environ = {"PATH": "/usr/bin", "PIXI_CACHE_DIR": "theirs"}
    ours = subprocess.run(argv, env=environ | {"WHO": "jupyter"}, capture_output=True, text=True, check=True)
    assert ours.stdout.splitlines() == [
        "/home/jupyter/.pixi/bin:/home/jupyter/.pixi/envs/default/bin:/usr/bin",
        "/home/jupyter/.cache/pixi",
    ]
    theirs = subprocess.run(argv, env=environ | {"WHO": "ann"}, capture_output=True, text=True, check=True)
    assert theirs.stdout.splitlines() == ["/usr/bin", "theirs"]
