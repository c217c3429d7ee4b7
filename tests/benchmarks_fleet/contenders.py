"""Who is measured: programs that find the same files, release and service on the same hosts, and nothing to do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from deploy.components import ORDER
from deploy.environment.releases import release_of
from deploy.facts.machine import Machine
from deploy.settings import read_settings
from deploy.tree import Directory, Entry, File, Tree
from tests.fleet.site import Site
from tests.local_site import PYINFRA as PYINFRA_PROGRAM
from tests.local_site import ROOT

_ANSIBLE = ROOT / ".venv-ansible/bin/ansible-playbook"

FLOOR = "floor: one connection, one command"
PLAN = "`jupyfleet plan`, which looks at as much as the two below"
UP = "`jupyfleet up`, with all ten checks on top"
PYINFRA = "plain pyinfra operations"
ANSIBLE = "ansible-core, pipelining"
#: Everyone's Python keeps bytecode and buffers its output, as it does where nobody says otherwise.
_UNSET = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")


@dataclass(frozen=True)
class Contender:
    """A command line, and the variables that it wants on top of ours."""

    name: str
    command: list[str]
    environ: Mapping[str, str]
    #: Whether it takes so long that a few rounds must do.
    is_slow: bool = False


def entries_of(site: Site) -> dict[str, list[Entry]]:
    """The files that a deploy wants, by host; the first notebook is the users' and nobody else's to compare."""
    wanted = {}
    for host in site.hosts:
        settings, tree = read_settings(host.name, site.data_of(host)), Tree()
        for component in ORDER:
            component(settings, Machine()).configure(tree)
        wanted[host.name] = [entry for entry in tree if not (isinstance(entry, File) and entry.seed)]
    return wanted


def contenders(site: Site, directory: Path) -> list[Contender]:
    """Everyone, with files written into a directory of their own."""
    directory.mkdir(parents=True, exist_ok=True)
    contents = _contents(site, directory)
    count = str(len(site.hosts))
    return [
        Contender(FLOOR, [sys.executable, *_floor(site, directory)], {}),
        Contender(PLAN, site.command("plan"), {}),
        Contender(UP, site.command("up"), {}),
        Contender(
            PYINFRA,
            [str(PYINFRA_PROGRAM), "--yes", str(site.inventory), str(_pyinfra(site, directory, contents))],
            {},
        ),
        Contender(
            ANSIBLE,
            [
                str(_ANSIBLE),
                "--forks",
                count,
                "-i",
                str(_hosts(site, directory)),
                str(_playbook(site, directory, contents)),
            ],
            {"ANSIBLE_PIPELINING": "1", "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_HOME": str(directory / "ansible")},
            is_slow=True,
        ),
    ]


def _contents(site: Site, directory: Path) -> dict[str, list[dict[str, Any]]]:
    """Every host's entries as plain data, with the content of files beside them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, entries in entries_of(site).items():
        found[name] = []
        for number, entry in enumerate(entries):
            kind = {Directory: "directory", File: "file"}.get(type(entry), "secret")
            source = directory / f"{name}-{number}"
            if isinstance(entry, File):
                source.write_bytes(entry.content)
            found[name].append(
                {"kind": kind, "path": str(entry.path), "mode": f"{entry.mode:o}", "source": str(source)}
            )
    return found


def _release(site: Site) -> tuple[PurePosixPath, str]:
    """The stamp that says that an environment is complete, and the command that asks supervisord."""
    settings = read_settings("any", site.data_of(site.hosts[0]))
    stamp = settings.paths.release(release_of(settings).identifier) / "jupyfleet-release.json"
    conf = settings.paths.supervisor / "supervisord.conf"
    return stamp, f"{settings.paths.tools}/supervisor-*/bin/supervisorctl -c {conf} status jupyter"


def _floor(site: Site, directory: Path) -> list[str]:
    """One paramiko connection and one command for each host, all at once."""
    script = directory / "floor.py"
    hosts = [site.data_of(host) for host in site.hosts]
    script.write_text(
        "import paramiko\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        f"HOSTS = {hosts!r}\n"
        "def run(host):\n"
        "    client = paramiko.SSHClient()\n"
        "    client.load_host_keys(host['ssh_known_hosts_file'])\n"
        "    client.connect(host['ssh_hostname'], host['ssh_port'], host['ssh_user'], key_filename=host['ssh_key'],\n"
        "                   look_for_keys=False, allow_agent=False)\n"
        "    assert client.exec_command('true')[1].channel.recv_exit_status() == 0\n"
        "    client.close()\n"
        "with ThreadPoolExecutor(len(HOSTS)) as pool:\n"
        "    list(pool.map(run, HOSTS))\n"
    )
    return [str(script)]


def _pyinfra(site: Site, directory: Path, contents: dict[str, list[dict[str, Any]]]) -> Path:
    stamp, service = _release(site)
    deploy = directory / "plain.py"
    (directory / "plain.json").write_text(json.dumps(contents))
    deploy.write_text(
        "import json\n"
        "from pathlib import Path\n"
        "from pyinfra import host\n"
        "from pyinfra.facts.files import File\n"
        "from pyinfra.facts.server import Command\n"
        "from pyinfra.operations import files\n"
        f"for entry in json.loads(Path({str(directory / 'plain.json')!r}).read_text())[host.name]:\n"
        "    if entry['kind'] == 'directory':\n"
        "        files.directory(path=entry['path'], mode=entry['mode'])\n"
        "    elif entry['kind'] == 'file':\n"
        "        files.put(src=entry['source'], dest=entry['path'], mode=entry['mode'])\n"
        "    else:\n"
        "        files.file(path=entry['path'], mode=entry['mode'])\n"
        f"assert host.get_fact(File, path={str(stamp)!r})\n"
        f"assert 'RUNNING' in host.get_fact(Command, command={service!r})\n"
    )
    return deploy


def _hosts(site: Site, directory: Path) -> Path:
    inventory = directory / "hosts.ini"
    lines = []
    for host in site.hosts:
        data = site.data_of(host)
        options = f"-o UserKnownHostsFile={data['ssh_known_hosts_file']} -o ControlMaster=auto -o ControlPersist=60s"
        lines.append(
            f"{host.name} ansible_host={data['ssh_hostname']} ansible_port={data['ssh_port']} "
            f"ansible_user={data['ssh_user']} ansible_ssh_private_key_file={data['ssh_key']} "
            f"ansible_python_interpreter=/usr/bin/python3 ansible_ssh_common_args='{options}'"
        )
    inventory.write_text("\n".join(lines) + "\n")
    return inventory


def _playbook(site: Site, directory: Path, contents: dict[str, list[dict[str, Any]]]) -> Path:
    stamp, service = _release(site)
    first = contents[site.hosts[0].name]
    tasks: list[dict[str, Any]] = []
    for number, entry in enumerate(first):
        common = {"mode": f"0{entry['mode']}"}
        if entry["kind"] == "directory":
            tasks.append({"ansible.builtin.file": {"path": entry["path"], "state": "directory"} | common})
        elif entry["kind"] == "file":
            source = f"{directory}/{{{{ inventory_hostname }}}}-{number}"
            tasks.append({"ansible.builtin.copy": {"src": source, "dest": entry["path"]} | common})
        else:
            tasks.append({"ansible.builtin.file": {"path": entry["path"], "state": "file"} | common})
    tasks.append(
        {"ansible.builtin.stat": {"path": str(stamp)}, "register": "stamp", "failed_when": "not stamp.stat.exists"}
    )
    tasks.append({"ansible.builtin.shell": service, "changed_when": False})
    play = directory / "play.yml"
    # JSON is YAML.
    play.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    return play


def environ_of(contender: Contender, site: Site) -> dict[str, str]:
    environ = {**site.environ, "LC_ALL": "C.UTF-8", **contender.environ, "PATH": os.environ["PATH"]}
    return {name: value for name, value in environ.items() if name not in _UNSET}
