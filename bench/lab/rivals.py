"""The same desired state for pyinfra and for Ansible, read off a host that is provisioned.

Both come from PyPI into an environment of their own, which is no part of the project.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.lab.nspawn import Host

REQUIREMENTS: Final = ("pyinfra==3.10.0", "ansible-core==2.19.14")


@dataclass(frozen=True, kw_only=True)
class State:
    """What the host has: everything that the no-op of `provision` looks at, but for the proof by execution."""

    packages: tuple[str, ...]
    folders: tuple[str, ...]
    files: dict[str, str]
    links: dict[str, str]
    group: str
    member: str
    units: tuple[str, ...]
    enabled: tuple[str, ...]

    @property
    def items(self) -> int:
        kinds = (self.packages, self.folders, self.files, self.links, self.units, self.enabled)
        return sum(map(len, kinds)) + 2


def state_of(host: Host) -> State:
    """Read from a host after `provision`."""
    paths = host.run(
        "ls /etc/binfmt.d/*.conf /etc/buildkit/buildkitd.toml /etc/tmpfiles.d/buildkit.conf"
        " /etc/systemd/system/buildkit.service"
    ).stdout.split()
    links = ("/opt/buildkit/current", "/usr/local/bin/buildctl")
    return State(
        packages=("qemu-user-static",),
        folders=("/etc/buildkit", host.run("readlink -f /opt/buildkit/current").stdout.strip()),
        files={path: host.run(f"cat {path}").stdout for path in paths},
        links={path: host.run(f"readlink {path}").stdout.strip() for path in links},
        group="buildkit",
        member="ci",
        units=("buildkit.service",),
        enabled=("proc-sys-fs-binfmt_misc.mount",),
    )


def install(folder: Path) -> Path:
    """The environment's folder of programs; made once."""
    programs = folder / "venv/bin"
    if not all((programs / name).exists() for name in ("pyinfra", "ansible-playbook")):
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        pip = [str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *REQUIREMENTS], check=True)
    return programs


def environment(programs: Path, home: Path) -> dict[str, str]:
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "ANSIBLE_CONFIG": str(home / "ansible.cfg"),
    }


def copies(state: State, folder: Path) -> dict[str, Path]:
    """The files' contents on this machine: path on the host -> path here."""
    place = folder / "files"
    place.mkdir(exist_ok=True)
    found = {}
    for path, text in state.files.items():
        found[path] = place / path.strip("/").replace("/", "-")
        found[path].write_text(text)
    return found


def pyinfra(state: State, host: Host, port: int, folder: Path) -> list[str]:
    """A deploy as its documentation writes one; the command that runs it."""
    calls = [
        *(f"apt.packages(packages={list(state.packages)!r})",),
        *(f"files.directory(path={path!r}, mode='755')" for path in state.folders),
        *(
            f"files.put(src={str(here)!r}, dest={path!r}, mode='644', user='root', group='root')"
            for path, here in copies(state, folder).items()
        ),
        *(f"files.link(path={path!r}, target={to!r})" for path, to in state.links.items()),
        f"server.group(group={state.group!r}, system=True)",
        f"server.user(user={state.member!r}, groups=[{state.group!r}], append=True)",
        *(f"systemd.service(service={unit!r}, running=True, enabled=True)" for unit in state.units),
        *(f"systemd.service(service={unit!r}, running=None, enabled=True)" for unit in state.enabled),
    ]
    head = "from pyinfra.operations import apt, files, server, systemd\n\n"
    (folder / "deploy.py").write_text(head + "\n".join(calls) + "\n")
    data = {
        "ssh_port": port,
        "ssh_user": "root",
        "ssh_key": str(host.key),
        "ssh_known_hosts_file": str(folder / "known_hosts"),
        "ssh_strict_host_key_checking": "yes",
    }
    (folder / "inventory.py").write_text(f"hosts = [('127.0.0.1', {data!r})]\n")
    return ["pyinfra", "-y", "inventory.py", "deploy.py"]


def ansible(state: State, host: Host, port: int, folder: Path, *, pipelining: bool) -> list[str]:
    """A playbook with the modules of ansible-core; the command that runs it."""
    tasks: list[dict[str, Any]] = [
        {"apt": {"name": list(state.packages), "state": "present"}},
        *({"file": {"path": path, "state": "directory", "mode": "0755"}} for path in state.folders),
        *(
            {"copy": {"src": str(here), "dest": path, "mode": "0644", "owner": "root", "group": "root"}}
            for path, here in copies(state, folder).items()
        ),
        *({"file": {"path": path, "src": to, "state": "link"}} for path, to in state.links.items()),
        {"group": {"name": state.group, "system": True}},
        {"user": {"name": state.member, "groups": [state.group], "append": True}},
        *({"systemd_service": {"name": unit, "state": "started", "enabled": True}} for unit in state.units),
        *({"systemd_service": {"name": unit, "enabled": True}} for unit in state.enabled),
    ]
    tasks = [{f"ansible.builtin.{name}": values for name, values in task.items()} for task in tasks]
    # JSON is YAML.
    (folder / "play.yml").write_text(json.dumps([{"hosts": "all", "tasks": tasks}], indent=1))
    settings = (
        f"ansible_host=127.0.0.1 ansible_port={port} ansible_user=root ansible_ssh_private_key_file={host.key}"
        f" ansible_ssh_common_args='-o UserKnownHostsFile={folder / 'known_hosts'}'"
        " ansible_python_interpreter=/usr/bin/python3"
    )
    (folder / "inventory.ini").write_text(f"box {settings}\n")
    (folder / "ansible.cfg").write_text(
        f"[defaults]\ninventory = inventory.ini\nlocalhost_warning = False\n[connection]\npipelining = {pipelining}\n"
    )
    return ["ansible-playbook", "play.yml"]
