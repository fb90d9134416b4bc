"""Fifty hosts at once: this tool's question to all of them, against OpenSSH that runs the bare script there.

The hosts are sshd processes on loopback, each at a port of its own and behind a line of 50 ms. All of them are this
machine, so the script's own work, which is the same for both, is paid here as well.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.lab import measure
from bench.lab.measure import Cost
from provision.probe import question
from provision.spec import Spec
from tests.lab.cli import COMMAND, environment
from tests.lab.proxy import Proxy
from tests.lab.sshd import Sshd, keygen

JOBS: Final = 8
SIZES: Final = (1, 10, 50)
RUNS: Final = 3


class Hidden(Sshd):
    """A server whose scripts do not see this machine's own handlers, so that none of them touches those."""

    def _enter(self) -> str:
        hide = "mount -t tmpfs tmpfs /proc/sys/fs/binfmt_misc"
        return super()._enter().replace('exec "$@"', f'{hide} || exit\nexec "$@"')


@dataclass(frozen=True, kw_only=True)
class Lab:
    folder: Path
    proxies: Sequence[Proxy]

    def names(self, size: int) -> str:
        return ",".join(f"h{number}" for number in range(size))


@contextmanager
def lab(size: int) -> Iterator[Lab]:
    """So many servers, each behind a line of its own; one key opens all."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made, ExitStack() as stack:
        folder = Path(made)
        key, host_key = keygen(folder / "id_ed25519"), keygen(folder / "host_key")
        public = host_key.with_suffix(".pub").read_text().rsplit(" ", 1)[0]
        sections, known, proxies = [], [], []
        for number in range(size):
            place = folder / f"h{number}"
            place.mkdir()
            for file in (key, host_key):
                shutil.copy(file, place / file.name)
                shutil.copy(file.with_suffix(".pub"), place / f"{file.name}.pub")
            server = stack.enter_context(Hidden(folder=place, options={"LogLevel": "ERROR"}))
            proxy = stack.enter_context(Proxy(server.port, delay=measure.DELAY))
            proxies.append(proxy)
            known.append(f"[127.0.0.1]:{proxy.port} {public}\n")
            sections.append(f"Host h{number}\n  HostName 127.0.0.1\n  Port {proxy.port}\n")
        (folder / "known_hosts").write_text("".join(known))
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
            ours = [str(COMMAND), "platforms", "--hosts", made.names(size), "--jobs", str(JOBS)]
            theirs = f"printf '%s\\n' {made.names(size).replace(',', ' ')} | xargs -P {JOBS} -I@ sh -c"
            bare = "'ssh -F ssh_config -o BatchMode=yes @ sh <facts.sh >facts-@ && grep -q ^end facts-@'"
            costs[f"OpenSSH, bare script, {size}"] = several(made, size, ["sh", "-c", f"{theirs} {bare}"])
            costs[f"provision platforms, {size}"] = several(made, size, [*ours, "--format", "json"])
    return costs


def several(made: Lab, size: int, command: Sequence[str]) -> Cost:
    lines = [proxy.line for proxy in made.proxies[:size]]
    return measure.best(
        [
            measure.run(command, folder=made.folder, environment=environment(made.folder), lines=lines)
            for _ in range(RUNS)
        ]
    )
