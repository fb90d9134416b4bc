"""Many hosts at once: this tool's question to all of them, against OpenSSH that runs the bare script there.

The hosts are sshd processes on loopback; up to fifty are each behind a line of 50 ms of its own. All of them are this
machine, so the script's own work, which is the same for both, is paid here as well.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.lab import measure
from bench.lab.measure import Cost
from provision.facts.question import question
from provision.spec import Spec
from tests.lab.cli import COMMAND, environment
from tests.lab.proxy import Proxy
from tests.lab.sshd import Sshd, keygen

JOBS: Final = 8
SIZES: Final = (1, 10, 50)
RUNS: Final = 3
MOST: Final = 500
"""Hosts of one run, without a line between: their lines would cost this machine more than the hosts do."""
MOST_SERVERS: Final = 20
"""sshd processes that take the connections of so many; each connection has a process of its own in any case."""
MOST_JOBS: Final = 64
FILES: Final = 1024
"""Descriptors that a process may have open by default."""


class Hidden(Sshd):
    """A server whose scripts do not see this machine's own handlers, so that none of them touches those."""

    def _enter(self) -> str:
        hide = "mount -t tmpfs tmpfs /proc/sys/fs/binfmt_misc"
        return super()._enter().replace('exec "$@"', f'{hide} || exit\nexec "$@"')


@dataclass(frozen=True, kw_only=True)
class Lab:
    folder: Path
    proxies: Sequence[Proxy]
    """None where there are fewer servers than hosts."""

    def names(self, size: int) -> str:
        return ",".join(f"h{number}" for number in range(size))


@contextmanager
def lab(size: int, *, servers: int = 0) -> Iterator[Lab]:
    """So many hosts, each a server behind a line of its own; or without lines, on a few servers. One key opens all."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made, ExitStack() as stack:
        folder = Path(made)
        key, host_key = keygen(folder / "id_ed25519"), keygen(folder / "host_key")
        public = host_key.with_suffix(".pub").read_text().rsplit(" ", 1)[0]
        options = {"LogLevel": "ERROR", "MaxStartups": str(MOST)}
        ports, proxies = [], []
        for number in range(servers or size):
            place = folder / f"h{number}"
            place.mkdir()
            for file in (key, host_key):
                shutil.copy(file, place / file.name)
                shutil.copy(file.with_suffix(".pub"), place / f"{file.name}.pub")
            ports.append(stack.enter_context(Hidden(folder=place, options=options)).port)
        if not servers:
            proxies = [stack.enter_context(Proxy(port, delay=measure.DELAY)) for port in ports]
            ports = [proxy.port for proxy in proxies]
        sections = [
            f"Host h{number}\n  HostName 127.0.0.1\n  Port {ports[number % len(ports)]}\n"
            for number in range(size)
        ]
        (folder / "known_hosts").write_text("".join(f"[127.0.0.1]:{port} {public}\n" for port in ports))
        (folder / "ssh_config").write_text(
            f"IdentityFile {key}\nIdentitiesOnly yes\nUserKnownHostsFile {folder / 'known_hosts'}\n"
            f"StrictHostKeyChecking yes\nIdentityAgent none\n{''.join(sections)}"
        )
        (folder / "provision.toml").write_text('ssh = { config = "ssh_config" }\n')
        (folder / "facts.sh").write_text(question(Spec()).script)
        yield Lab(folder=folder, proxies=proxies)


def measured() -> dict[str, Cost]:
    """What each way costs with more and more hosts."""
    costs: dict[str, Cost] = {}
    with lab(max(SIZES)) as made:
        for size in SIZES:
            costs |= several(made, size, ways(made.names(size), size))
    return costs


def measured_most() -> dict[str, Cost]:
    """What `MOST` hosts cost, each way run once, with no more descriptors than a process has by default."""
    with lab(MOST, servers=MOST_SERVERS) as made:
        commands = ways(made.names(MOST), MOST, jobs=MOST_JOBS)
        limited = {
            name: ["sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh", *words]
            for name, words in commands.items()
        }
        return several(made, MOST, limited, runs=1)


def ways(names: str, size: int, jobs: int = JOBS) -> dict[str, list[str]]:
    """The commands, by their rows' names. Health is asked of the most only."""
    each = f"printf '%s\\n' {names.replace(',', ' ')} | xargs -P {jobs} -I@ sh -c"
    bare = "'ssh -F ssh_config -o BatchMode=yes @ sh <facts.sh >facts-@ && grep -q ^end facts-@'"
    ours = ["--hosts", names, "--jobs", str(jobs), "--format", "json"]
    health = {f"provision health, {size}": [str(COMMAND), "health", *ours]} if size == max(SIZES) else {}
    return {
        f"OpenSSH, bare script, {size}": ["sh", "-c", f"{each} {bare}"],
        f"provision platforms, {size}": [str(COMMAND), "platforms", *ours],
        **health,
    }


def several(
    made: Lab, size: int, commands: Mapping[str, Sequence[str]], runs: int = RUNS
) -> dict[str, Cost]:
    """The best of several runs of each, by turns."""
    lines = [proxy.line for proxy in made.proxies[:size]]
    found: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            # 5: these hosts were never provisioned, which health says.
            cost = measure.run(
                command, folder=made.folder, environment=environment(made.folder), lines=lines, accept=(0, 5)
            )
            found[name].append(cost)
    return {name: measure.best(costs) for name, costs in found.items()}
