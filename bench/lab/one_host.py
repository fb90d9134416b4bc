"""The no-op on one host behind 50 ms: this tool, pyinfra and Ansible, on the same desired state."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.lab import measure, rivals
from bench.lab.measure import Cost
from tests.lab.cache import default_folder
from tests.lab.cli import COMMAND, environment
from tests.lab.nspawn import Host
from tests.lab.proxy import Proxy
from tests.lab.release import publish

# Ansible needs Python on the host, and its apt module the bindings; this tool needs neither.
PACKAGES: Final = ("qemu-user-static", "python3", "python3-apt")
SETTINGS: Final = """
[buildkit]
mirror = "{mirror}"
sha256 = {{ "{platform}" = "{sha256}" }}
users = ["ci"]
[ssh]
config = "ssh_config"
"""


def measured(runs: int = 3) -> tuple[int, dict[str, Cost]]:
    """How many items the state has, and what each tool's no-op costs."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made, Host("box", packages=PACKAGES) as host:
        folder = Path(made)
        with Proxy(host.port, delay=measure.DELAY) as proxy:
            prepare(host, proxy.port, folder)
            provision = [str(COMMAND), "provision", "--hosts", "box"]
            ours = environment(folder)
            first = measure.run(provision, folder=folder, environment=ours, lines=[proxy.line])
            state = rivals.state_of(host)
            programs = rivals.install(default_folder() / "bench")
            theirs = rivals.environment(programs, folder)
            playbook = rivals.ansible(state, host, proxy.port, folder, pipelining=True)
            ways: dict[str, tuple[list[str], dict[str, str]]] = {
                "provision": (provision, ours),
                "pyinfra 3.10": (rivals.pyinfra(state, host, proxy.port, folder), theirs),
                "ansible-core 2.19, pipelining": (playbook, theirs),
            }
            count = sessions_of(host)
            found: dict[str, list[Cost]] = {name: [] for name in ways}
            # By turns: a machine that is slower for a while is so for all three.
            for _ in range(runs):
                for name, (command, variables) in ways.items():
                    # Ansible keeps a connection open for the next run; each run here stands for a day's first.
                    shutil.rmtree(folder / ".ansible/cp", ignore_errors=True)
                    cost = measure.run(
                        command, folder=folder, environment=variables, lines=[proxy.line], sessions=count
                    )
                    found[name].append(cost)
            best = {name: measure.best(costs) for name, costs in found.items()}
            return state.items, {"provision, the first time": first, **best}


def prepare(host: Host, port: int, folder: Path) -> None:
    release = publish(folder / "mirror")
    (folder / "provision.toml").write_text(
        SETTINGS.format(mirror=release.mirror, platform=release.platform, sha256=release.sha256)
    )
    known = host.known_hosts.read_text().replace(str(host.port), str(port))
    (folder / "known_hosts").write_text(known)
    config = host.ssh_config.replace(f"Port {host.port}", f"Port {port}")
    (folder / "ssh_config").write_text(config.replace(str(host.known_hosts), str(folder / "known_hosts")))
    host.run("echo LogLevel VERBOSE >/etc/ssh/sshd_config.d/bench.conf && systemctl reload ssh")


def sessions_of(host: Host) -> Callable[[], int]:
    """How many commands and subsystems sshd has started, but for those of this very question."""
    asked = 0

    def count() -> int:
        nonlocal asked
        asked += 1
        log = "journalctl -q -o cat -u ssh | grep -c 'Starting session'"
        return int(host.run(log).stdout) - asked

    return count
