"""Who can use buildkitd: through its socket, and at the addresses it listens on. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from provision import paths
from provision.buildkit.daemon import read_config
from provision.config.names import is_loopback
from provision.facts import Facts
from provision.fix import PROVISION, Fix, HostCommand, run
from provision.health.finding_table import finding
from provision.result import Finding
from provision.spec import Spec

SOCKET_MODE: Final = 0o660
FOLDER: Final = paths.SOCKET_FOLDER
FOLDER_MODE: Final = 0o750


def findings(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """Faults of the socket and the listeners."""
    return (*_socket(spec, facts), *_listeners(spec, facts))


def _socket(spec: Spec, facts: Facts) -> Iterator[Finding]:
    """Anyone who can write to the socket is as good as root (BuildKit's README)."""
    if spec.buildkit.group not in facts.groups:
        return  # which is a finding of its own
    wanted = {paths.SOCKET: SOCKET_MODE, FOLDER: FOLDER_MODE}
    wrong = []
    open_to_all = False
    commands: list[HostCommand] = []
    for path, mode in wanted.items():
        file = facts.files.get(path)
        if file is None or (file.mode, file.owner, file.group) == (mode, "root", spec.buildkit.group):
            continue
        owner = f"root:{spec.buildkit.group}"
        wrong.append(f"{path} is {file.mode:04o} {file.owner}:{file.group}, wanted {mode:04o} {owner}")
        commands += [run("chown", owner, path), run("chmod", f"{mode:o}", path)]
        open_to_all |= path == paths.SOCKET and bool(file.mode & 0o002)
    if wrong:
        yield finding(
            "socket-access",
            "error" if open_to_all else "warning",
            "; ".join(wrong),
            "every user of this machine can become root by it"
            if open_to_all
            else f"members of {spec.buildkit.group} may not be able to build, or others may",
            Fix.by(*commands),
        )


def _listeners(spec: Spec, facts: Facts) -> Iterator[Finding]:
    settings = _settings(facts)
    command = _words(facts.daemon.command) if facts.daemon else []
    grpc = settings.get("grpc", {})
    tls = grpc.get("tls", {})
    asks = bool(tls.get("ca") or _values(command, "--tlscacert"))
    # One --addr overrides those of the TOML (cmd/buildkitd/main.go).
    addresses = _values(command, "--addr") or grpc.get("address", [])
    for address in addresses if isinstance(addresses, list) else [addresses]:
        if not str(address).startswith("tcp://") or asks:
            continue
        host = str(address).removeprefix("tcp://").rpartition(":")[0].strip("[]")
        near = is_loopback(host)
        expected = near and address in spec.buildkit.listen
        yield finding(
            "listener-open",
            "info" if expected else "warning" if near else "error",
            f"buildkitd listens on {address} without asking for a client's certificate",
            "every build step and local user can become root by it"
            if near
            else "anyone who reaches this address is root on this machine",
            Fix.by(PROVISION, words="first set [buildkit.tls] with a ca, or remove the address"),
        )


def _settings(facts: Facts) -> Mapping[str, Any]:
    file = facts.files.get(paths.CONFIG)
    # The daemon would not start without TOML either, which has its own finding.
    return (read_config(file.text or "") if file else None) or {}


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _values(command: Sequence[str], option: str) -> list[str]:
    """Each value of `--option VALUE` and `--option=VALUE`."""
    spaced = [value for name, value in pairwise(command) if name == option]
    return spaced + [word.partition("=")[2] for word in command if word.startswith(f"{option}=")]
