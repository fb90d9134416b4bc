"""What a host would refuse as configuration ends a command before any host is contacted, all of it in one answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.config.load import load
from provision.errors import EXIT_USAGE, ConfigError
from tests.lab.cli import provision

REFUSED = {
    "a registry with an underscore": (
        '[registry."my_registry:5000"]\nhttp = true\n',
        '[registry] "my_registry:5000": the name must be HOST or HOST:PORT',
    ),
    "a registry by a bare IPv6 address": (
        '[registry."fd00::1"]\nhttp = true\n',
        '[registry] "fd00::1": the name must be HOST or HOST:PORT',
    ),
    "a mirror with an underscore": (
        '[registry."docker.io"]\nmirrors = ["my_mirror"]\n',
        '[registry."docker.io"] mirrors: must be HOST, HOST:PORT or HOST:PORT/PATH',
    ),
    "no cache": (
        "[buildkit.gc]\nmaxUsedSpace = 0\n",
        "[buildkit.gc] maxUsedSpace: must be bytes as a number above 0",
    ),
    "no share": (
        '[buildkit.gc]\nmaxUsedSpace = "0%"\n',
        "[buildkit.gc] maxUsedSpace: must be bytes as a number above 0",
    ),
    "a reserve above the maximum": (
        "[buildkit.gc]\nreservedSpace = 20000000000\nmaxUsedSpace = 10000000000\n",
        "[buildkit.gc] reservedSpace: is above maxUsedSpace",
    ),
    "the daemon's own label": (
        '[buildkit.labels]\n"org.mobyproject.buildkit.worker.hostname" = "x"\n',
        '[buildkit.labels] "org.mobyproject.buildkit.worker.hostname": the name is set by the daemon itself',
    ),
    "a listener with an underscore": (
        '[buildkit]\nlisten = ["tcp://my_host:1234"]\n[buildkit.tls]\ncert = "/a"\nkey = "/b"\nca = "/c"\n',
        "[buildkit] listen: must be tcp://ADDRESS:PORT",
    ),
    "a key that is too new": (
        '[buildkit]\nversion = "v0.20.0"\n[buildkit.log]\nlevel = "debug"\n',
        "[buildkit.log] level: needs BuildKit v0.30.0 or newer, not v0.20.0",
    ),
    "an insecure version": (
        '[buildkit]\nversion = "v0.9.0"\n',
        "[buildkit] version: is refused: a build can break out of v0.9.0",
    ),
    "a group with a capital": ('[buildkit]\ngroup = "Ops"\n', "[buildkit] group: must be a group name"),
}

TOGETHER = """
[buildkit]
version = "v0.9.0"
group = "Ops"
listen = ["tcp://my_host:1234"]
[buildkit.tls]
cert = "/a"
key = "/b"
ca = "/c"
[buildkit.log]
level = "debug"
[buildkit.labels]
"org.mobyproject.buildkit.worker.hostname" = "x"
[buildkit.gc]
reservedSpace = 20000000000
maxUsedSpace = 10000000000
minFreeSpace = "0%"
[registry."my_registry:5000"]
[registry."fd00::1"]
[registry."docker.io"]
mirrors = ["my_mirror"]
"""
PLACES = (
    "[buildkit] version:",
    "[buildkit] group:",
    "[buildkit] listen:",
    "[buildkit.log] level:",
    '[buildkit.labels] "org.mobyproject.buildkit.worker.hostname":',
    "[buildkit.gc] reservedSpace: is above",
    "[buildkit.gc] reservedSpace: needs",
    "[buildkit.gc] maxUsedSpace:",
    "[buildkit.gc] minFreeSpace:",
    '[registry] "my_registry:5000":',
    '[registry] "fd00::1":',
    '[registry."docker.io"] mirrors:',
)


@pytest.mark.parametrize("case", REFUSED)
def test_each_is_refused_where_it_stands(case: str, tmp_path: Path) -> None:
    text, said = REFUSED[case]
    file = tmp_path / "provision.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.message.startswith(f"{file}: {said}")


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.mark.parametrize("command", ["check", "plan", "provision", "health"])
def test_all_are_named_at_once_and_nobody_is_contacted(
    command: str, tmp_path: Path, server: socket.socket
) -> None:
    port = server.getsockname()[1]
    (tmp_path / "provision.toml").write_text(
        f'{TOGETHER}[hosts.ci1]\nhost = "127.0.0.1"\nport = {port}\nuser = "root"\n'
    )
    seen = provision(command, "--hosts", "ci1", "--format", "json", cwd=tmp_path)
    assert seen.code == EXIT_USAGE
    assert seen.envelope["hosts"] == []
    (error,) = seen.envelope["errors"]
    assert error["code"] == "config"
    first, *lines = error["message"].splitlines()
    assert first == f"{len(PLACES)} problems in the configuration:"
    for place in PLACES:
        assert any(f"provision.toml: {place}" in line for line in lines), place
    with pytest.raises(BlockingIOError):
        server.accept()
