"""A fleet with everything that goes wrong in one: five good hosts, one of them behind a line that is cut, and seven
that cannot succeed. One look must say which is which, and no one of them may spoil another.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.host.test_provision import check_build
from tests.lab import rootfs
from tests.lab.checkout import ROOT
from tests.lab.cli import COMMAND, FAB, Outcome, environment, provision
from tests.lab.nspawn import Host, free_port
from tests.lab.proxy import Proxy
from tests.lab.registry import Registry
from tests.lab.release import Release

QEMU = ("qemu-user-static",)
GOOD = ("one", "two", "three", "four")
CUT_AFTER = 12_000_000  # bytes: in the middle of the archive, which has some 34 MB
HOSTILE_KERNEL = '#!/bin/sh\nexec setarch --uname-2.6 /bin/sh "$@"\n'


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The hosts, and the folder of the person at this end."""

    machines: dict[str, Host]
    proxy: Proxy
    folder: Path

    def run(self, command: str, *words: str) -> Outcome:
        return provision(command, *words, "--format", "json", cwd=self.folder)


@pytest.fixture
def fleet(tmp_path: Path, release: Release, silent: int) -> Iterator[Fleet]:
    with ExitStack() as stack:
        machines = {
            name: stack.enter_context(Host(name, packages=() if name == "one" else QEMU))
            for name in (*GOOD, "cut")
        }
        proxy = stack.enter_context(Proxy(machines["cut"].port, cut_after=CUT_AFTER))
        write_ssh_config(tmp_path, machines, proxy.port)
        write_configuration(tmp_path, release, silent)
        pretend_an_old_kernel(machines["two"])
        yield Fleet(machines=machines, proxy=proxy, folder=tmp_path)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        yield port


def write_ssh_config(folder: Path, machines: dict[str, Host], cut: int) -> None:
    """As the person at this end has it: an included file, keys, and known_hosts for each."""
    own = machines["cut"].known_hosts.read_text()
    machines["cut"].known_hosts.write_text(own + own.replace(str(machines["cut"].port), str(cut)))
    sections = [machines[name].ssh_config for name in machines]
    sections[-1] = sections[-1].replace(f"Port {machines['cut'].port}", f"Port {cut}")
    # The address of `two`, and the key of `three`: what it looks like when a host was replaced.
    other = folder / "known_before"
    other.write_text(
        machines["three"]
        .known_hosts.read_text()
        .replace(str(machines["three"].port), str(machines["two"].port))
    )
    two = machines["two"].ssh_config
    sections.append(
        two.replace("Host two\n", "Host changed\n").replace(str(machines["two"].known_hosts), str(other))
    )
    sections += [two.replace("Host two\n", f"Host {name}\n") for name in ("wrong", "nosudo", "old")]
    (folder / "more_config").write_text(
        "\n".join(section.replace("  User root\n", "") for section in sections)
    )
    (folder / "ssh_config").write_text(f"Include {folder}/more_config\n")


def write_configuration(folder: Path, release: Release, silent: int) -> None:
    (folder / "password").write_text(rootfs.PASSWORD + "\n")
    (folder / "provision.toml").write_text(
        f"""
platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"]
[buildkit]
mirror = "{release.mirror}"
sha256 = {{ "{release.platform}" = "{release.sha256}" }}
users = ["ci"]
[ssh]
config = "ssh_config"
user = "root"
connect_timeout = 3
[hosts.one]
[hosts.two]
user = "ops"
[hosts.three]
user = "pw"
sudo_password_command = "cat {folder}/password"
[hosts.four]
[hosts.cut]
[hosts.changed]
[hosts.wrong]
user = "pw"
sudo_password_command = "echo not-the-password"
[hosts.nosudo]
user = "ci"
[hosts.old]
user = "old"
[hosts.dead]
host = "127.0.0.1"
port = {free_port()}
[hosts.nowhere]
host = "nowhere.invalid"
[hosts.silent]
host = "127.0.0.1"
port = {silent}
[groups]
good = {json.dumps(GOOD)}
"""
    )


def pretend_an_old_kernel(host: Host) -> None:
    """A login whose programs see Linux 2.6 (setarch(8)), as on a machine nobody has updated for long."""
    host.run("cat >/usr/local/bin/oldsh && chmod 755 /usr/local/bin/oldsh", stdin=HOSTILE_KERNEL)
    host.run(
        "useradd -m -s /usr/local/bin/oldsh old && echo 'old ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/old"
    )


def verdicts(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Each host's status and, if there is one, the code of its error."""
    return {
        host["host"]: (host["status"], (host["error"] or {}).get("code", ""))
        for host in outcome.envelope["hosts"]
    }


BAD = {
    "changed": ("unreachable", "host-key"),
    "wrong": ("failed", "become"),
    "nosudo": ("failed", "become"),
    "old": ("failed", "kernel"),
    "dead": ("unreachable", "unreachable"),
    "nowhere": ("unreachable", "unreachable"),
    "silent": ("unreachable", "unreachable"),
}


def test_one_bad_host_never_spoils_the_rest(fleet: Fleet, registry: Registry) -> None:
    interrupted_run(fleet)

    first = fleet.run("provision", "--hosts", "all", "--jobs", "16")
    assert verdicts(first) == {
        **dict.fromkeys(GOOD, ("changed", "")),
        "cut": ("failed", "connection-lost"),
        **BAD,
    }
    assert (first.code, first.envelope["status"]) == (3, "partial")
    assert all(error["hint"] for error in first.envelope["errors"])
    check_words(first)
    check_one_attempt(fleet.machines["two"])

    check_repair(fleet)
    check_settled(fleet)
    with ThreadPoolExecutor() as pool:
        list(
            pool.map(
                lambda name: check_build(fleet.machines[name], registry, f"fleet:{name}"), (*GOOD, "cut")
            )
        )


def interrupted_run(fleet: Fleet) -> None:
    """Ctrl-C while packages are installed: that step is finished, no other begun, and the summary says so."""
    words = [str(COMMAND), "provision", "--hosts", "one,dead", "--jobs", "1", "--format", "table"]
    running = subprocess.Popen(
        words,
        cwd=fleet.folder,
        env=environment(fleet.folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr
    assert any("install qemu-user-static" in line for line in running.stderr)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=300)
    assert running.returncode == 130, (out, err)
    assert "2 hosts: 2 interrupted" in out
    assert re.search(r"one: interrupted: [1-3] of \d\d steps are done", err), err
    assert "dead: not started" in err
    one = fleet.machines["one"]
    assert one.run("dpkg -s qemu-user-static | grep Status").stdout == "Status: install ok installed\n"
    assert one.run("ls /etc/binfmt.d /opt").stdout.split() == ["/etc/binfmt.d:", "/opt:"]


def check_words(outcome: Outcome) -> None:
    """What a person needs to know stands in the message, cause or hint."""
    errors: dict[str, dict[str, str]] = {
        host["host"]: host["error"] for host in outcome.envelope["hosts"] if host["error"]
    }
    words = {
        "changed": ("SHA256:", "ssh-keygen"),
        "wrong": ("password", "One attempt"),
        "nosudo": ("sudo",),
        "old": ("2.6", "4.8"),
        "dead": ("refused",),
        "nowhere": ("nowhere.invalid", "no address"),
        "silent": ("sends nothing",),
        "cut": ("link broke",),
    }
    for host, wanted in words.items():
        text = " ".join(errors[host].values())
        assert all(word in text for word in wanted), (host, text)
    # Both fingerprints: the one we know, and the one that is shown.
    assert " ".join(errors["changed"].values()).count("SHA256:") >= 2


def check_one_attempt(two: Host) -> None:
    log = two.run("journalctl -q -o cat -t sudo").stdout
    assert log.count("authentication failure") <= 1
    assert "1 incorrect password attempt" in log
    assert "3 incorrect password attempts" not in log


def check_repair(fleet: Fleet) -> None:
    """The cut host alone comes right; what had arrived there is not sent again."""
    cut = fleet.machines["cut"]
    arrived = int(cut.run("stat -c %s /var/cache/provision/*.part").stdout)
    assert 1_000_000 < arrived < CUT_AFTER
    fleet.proxy._cut_after = None
    before = fleet.proxy.line.bytes["up"]
    again = fleet.run("provision", "--only-failed")
    assert verdicts(again) == {"cut": ("changed", ""), **BAD}
    assert again.code == 3
    sent = fleet.proxy.line.bytes["up"] - before
    whole = archive_size(fleet)
    assert sent < whole - arrived + 1_000_000, (sent, whole, arrived)


def archive_size(fleet: Fleet) -> int:
    (archive,) = (fleet.folder / "mirror").glob("v*/*.tar.gz")
    return archive.stat().st_size


def check_settled(fleet: Fleet) -> None:
    """A second run changes nothing, whichever way it is started."""
    settled = fleet.run("provision", "--hosts", "@good,cut")
    assert verdicts(settled) == dict.fromkeys((*GOOD, "cut"), ("ok", "")), settled
    assert settled.code == 0
    assert [host["steps"] for host in settled.envelope["hosts"]] == [[]] * 5
    nothing = fleet.run("provision", "--hosts", "@good,cut", "--only-failed")
    assert nothing.code == 1
    assert "all 5 succeeded" in nothing.envelope["errors"][0]["message"]
    check_fab(fleet)


def check_fab(fleet: Fleet) -> None:
    """`fab -H a,b provision` goes from host to host, by the same configuration."""
    command = [
        str(FAB),
        "--search-root",
        str(ROOT),
        "-H",
        "one,ops@two",
        "provision",
    ]
    done = subprocess.run(
        [*command, "--format", "json"],
        cwd=fleet.folder,
        env=environment(fleet.folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done
    envelopes = list(documents(done.stdout))
    assert [[host["host"] for host in each["hosts"]] for each in envelopes] == [["one"], ["ops@two"]]
    assert {each["status"] for each in envelopes} == {"ok"}


def documents(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:]


def test_a_full_disk_is_named_and_what_arrived_is_kept(tmp_path: Path, release: Release) -> None:
    with Host("full", packages=QEMU) as host:
        cache = "/var/cache/provision"
        host.run(f"mkdir -p {cache} && mount -t tmpfs -o size=20m tmpfs {cache}")
        (tmp_path / "ssh_config").write_text(host.ssh_config)
        (tmp_path / "provision.toml").write_text(
            f"""
platforms = ["linux/amd64", "linux/arm64"]
buildkit = {{ mirror = "{release.mirror}", sha256 = {{ "{release.platform}" = "{release.sha256}" }} }}
ssh = {{ config = "ssh_config" }}
"""
        )

        def run() -> Outcome:
            return provision("provision", "--hosts", "full", "--format", "json", cwd=tmp_path)

        full = run()
        assert (full.code, full.host["status"], full.host["error"]["code"]) == (3, "failed", "host")
        assert "No space left on device" in full.host["error"]["cause"]
        assert "free some room" in full.host["error"]["hint"]
        steps = {step["id"]: step["status"] for step in full.host["steps"]}
        assert steps["handler-aarch64"] == "done"
        assert steps["release"] == "failed"
        assert steps["service-start"] == "skipped"
        host.run(f"mount -o remount,size=200m {cache}")
        assert run().host["status"] == "changed"
