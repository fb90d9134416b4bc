"""Three hosts as one builder of the real buildx: who builds what, what a node that dies costs, and what is left behind.

One of them is behind another as its jump host, where another user logs in.

No processor of another kind is here. The host that stands for an arm64 machine is one whose `platforms` are set to
those of such a machine: it runs them under emulation, and is the only one that has them. That
a native host beats an emulating one is shown where facts can be written down (tests/unit/builder).
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from provision import elf
from provision.architectures import of_platform
from provision.certificates import pem
from provision.certificates.authority import Authority
from provision.certificates.pem import Issued
from provision.transport import Secret
from tests.lab.buildx import buildx
from tests.lab.cli import COMMAND, Outcome, environment
from tests.lab.nspawn import Host, free_port
from tests.lab.programs import hello
from tests.lab.registry import Registry
from tests.lab.release import EARLIER, Release, publish

PLATFORMS = {
    "server": ["linux/amd64", "linux/386", "linux/s390x"],
    "arm": ["linux/arm64", "linux/arm/v7"],
    "spare": ["linux/s390x", "linux/arm64", "linux/riscv64"],
}
EMPTY: Mapping[str, str] = MappingProxyType({})
BUILT = ("linux/amd64", "linux/386", "linux/arm64", "linux/arm/v7", "linux/s390x")
DOCKERFILE = """\
FROM scratch
ARG TARGETARCH TARGETVARIANT
COPY hello-${TARGETARCH}${TARGETVARIANT} /hello
RUN ["/hello"]
"""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The hosts, and the folder of the person at this end, who has buildx and a ~/.ssh of their own."""

    machines: dict[str, Host]
    folder: Path
    program: Path
    has_buildx: bool = True
    """Whether the program is on PATH."""

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        with self.begin(*words) as process:
            out, err = process.communicate(timeout=600)
        done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
        assert not check or done.returncode == 0, (words, out, err)
        return done

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Words of the person, whose ~/.ssh is a folder of the test: ssh asks the password database where it is."""
        enter = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            'mkdir -p -m 700 ~root/.ssh && mount --bind "$0" ~root/.ssh && exec "$@"',
        ]
        before = f"{self.program.parent}:" if self.has_buildx else ""
        return subprocess.Popen(
            [*enter, str(self.folder / ".ssh"), *words],
            cwd=self.folder,
            env={**environment(self.folder), "PATH": f"{before}/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def provision(self, *words: str) -> Outcome:
        done = self.run(str(COMMAND), *words, "--format", "json", check=False)
        return Outcome(code=done.returncode, out=done.stdout, err=done.stderr)

    def builder(self, *words: str) -> Outcome:
        return self.provision("builder", "--name", "fleet", *words)

    def build(self, image: str, *platforms: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """By buildx itself, as a person types it. What `builder` builds to measure has no MARK."""
        words = ["build", "--builder", "fleet", "--provenance=false", "--no-cache", "--progress", "plain"]
        output = f"type=image,name={image},push=true,registry.insecure=true"
        options = ["--build-arg", f"MARK={image}", "--platform", ",".join(platforms), "--output", output]
        return self.run(str(self.program), *words, *options, "context", check=check)


@pytest.fixture
def fleet(tmp_path: Path, release: Release) -> Iterator[Fleet]:
    with ExitStack() as stack:
        machines = {
            name: stack.enter_context(Host(name, packages=("qemu-user-static",))) for name in PLATFORMS
        }
        (tmp_path / ".ssh").mkdir(mode=0o700)
        (tmp_path / "ssh_config").write_text("\n".join(each.ssh_config for each in machines.values()))
        context(tmp_path / "context")
        configure(tmp_path, release, of_hosts={"spare": 'jump = "ops@server"'})
        made = Fleet(machines=machines, folder=tmp_path, program=buildx())
        provisioned = made.provision("provision", "--hosts", "all")
        assert provisioned.code == 0, (provisioned.out, provisioned.err)
        yield made


def context(folder: Path) -> None:
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    for goarch, variant in (
        ("amd64", ""),
        ("386", ""),
        ("arm64", ""),
        ("arm", "7"),
        ("s390x", ""),
        ("riscv64", ""),
    ):
        target = folder / f"hello-{goarch}{f'v{variant}' if variant else ''}"
        target.write_bytes(hello(goarch, variant=variant).read_bytes())
        target.chmod(0o755)


def configure(folder: Path, release: Release, more: str = "", of_hosts: Mapping[str, str] = EMPTY) -> None:
    hosts = "".join(
        f"[hosts.{name}]\nplatforms = {json.dumps(each)}\n{of_hosts.get(name, '')}\n"
        for name, each in PLATFORMS.items()
    )
    (folder / "provision.toml").write_text(
        f"""
[buildkit]
mirror = "{release.mirror}"
sha256 = {{ "{release.platform}" = "{release.sha256}" }}
{more}
[ssh]
config = "ssh_config"
{hosts}
"""
    )


def nodes(outcome: Outcome) -> dict[str, list[str]]:
    return {row["node"]: row["platforms"] for row in outcome.envelope["hosts"][0]["nodes"]}


def histories(fleet: Fleet, image: str) -> dict[str, set[str]]:
    """The platforms that each node's own history says it has built for an image."""
    return {name: built_by(host, image) for name, host in fleet.machines.items()}


def built_by(host: Host, image: str) -> set[str]:
    answer = host.run("buildctl debug histories --format '{{json .}}'", check=False).stdout
    records: list[Any] = [json.loads(line) for line in answer.splitlines() if line.startswith("{")]
    found: set[str] = set()
    for record in records:
        attributes = (record.get("record") or record).get("FrontendAttrs") or {}
        if attributes.get("build-arg:MARK") == image:
            found |= set(attributes["platform"].split(","))
    return found


def test_each_platform_is_built_where_it_belongs_and_a_dead_node_costs_what_was_said(
    fleet: Fleet, registry: Registry
) -> None:
    check_what_a_login_lacks(fleet)
    first = fleet.builder("--hosts", "all")
    assert first.code == 0, (first.out, first.err)
    assigned = nodes(first)
    assert set(assigned["server"]) >= {"linux/amd64", "linux/386"}
    assert set(assigned["arm"]) >= {"linux/arm/v7"}
    given = [platform for each in assigned.values() for platform in each]
    assert sorted(given) == sorted(set(given)) == sorted({p for each in PLATFORMS.values() for p in each})
    configuration = (fleet.folder / ".ssh/config").read_text()
    assert configuration.splitlines()[1] == "Include provision/*.conf"
    check_what_is_printed_without_buildx(fleet)

    again = fleet.builder("--hosts", "all")
    assert (again.code, again.envelope["hosts"][0]["steps"]) == (0, [])
    assert nodes(again) == assigned

    image = f"{registry.address}/builder:one"
    jumps = logins(fleet)
    fleet.build(image, *BUILT, "linux/riscv64")
    assert logins(fleet) > jumps
    assert sorted(registry.platforms("builder:one")) == sorted([*BUILT, "linux/riscv64"])
    where = histories(fleet, image)
    for name, own in assigned.items():
        assert where[name] == set(own), (where, assigned)

    healthy = fleet.provision("health", "--builder", "fleet")
    assert healthy.code == 0, (healthy.out, healthy.err)
    assert {row["node"]: set(row["built"]) for row in healthy.envelope["hosts"][0]["nodes"]} == {
        name: set(own) for name, own in assigned.items()
    }
    check_each_fault_is_one_finding(fleet)
    check_a_node_that_dies_during_a_build(fleet)
    check_a_dead_node(fleet, registry, assigned)
    check_removal(fleet)


def check_what_a_login_lacks(fleet: Fleet) -> None:
    """What this tool does by sudo says nothing of buildx, which logs in and is what it is then."""

    def refused(host: str) -> str:
        asked = fleet.builder("--hosts", host, "--print")
        made, left_out = asked.envelope["hosts"]
        assert (asked.code, made["nodes"], left_out["status"]) == (3, [], "failed")
        return " ".join(left_out["error"].values())

    seen = refused("ops@server")
    assert "may not use buildkitd" in seen
    assert "users" in seen
    server = fleet.machines["server"]
    server.run("mv /usr/local/bin/buildctl /usr/local/bin/elsewhere")
    seen = refused("server")
    assert "does not find buildctl" in seen
    assert "ln -s /opt/buildkit/current/bin/buildctl /usr/bin/buildctl" in seen
    server.run("mv /usr/local/bin/elsewhere /usr/local/bin/buildctl")
    assert list((fleet.folder / ".ssh").iterdir()) == []


def logins(fleet: Fleet) -> int:
    """How often a jump went through the server: as ops nobody else comes."""
    log = fleet.machines["server"].run("journalctl -q -o cat -u ssh | grep -c 'Accepted publickey for ops'")
    return int(log.stdout)


def check_what_is_printed_without_buildx(fleet: Fleet) -> None:
    """Without buildx and Docker the same is printed; what is printed makes the same builder where they are."""
    bare = replace(fleet, has_buildx=False)
    printed = bare.run(str(COMMAND), "builder", "--name", "fleet", "--hosts", "all", "--print").stdout
    asked = bare.builder("--hosts", "all", "--print")
    assert (asked.code, asked.envelope["hosts"][0]["steps"]) == (0, [])
    rows = asked.envelope["hosts"][0]["nodes"]
    action = re.findall(r'^ +endpoint: "(.*)"\n +platforms: "(.*)"$', printed, re.MULTILINE)
    assert action == [(row["endpoint"], ",".join(row["platforms"])) for row in rows]
    # Docker's command, of which buildx is a plugin, and a person with nothing.
    other = fleet.folder / "other"
    (other / "bin").mkdir(parents=True)
    (other / ".ssh").mkdir(mode=0o700)
    (other / "bin/docker").write_text(f'#!/bin/sh\nshift\nexec {fleet.program} "$@"\n')
    (other / "bin/docker").chmod(0o755)
    there = replace(fleet, folder=other, program=other / "bin/docker")
    (other / "script").write_text(printed)
    there.run(
        "sh",
        "-c",
        'HOME=~root DOCKER_CONFIG="$1" sh -eu "$0"',
        str(other / "script"),
        str(other / ".docker"),
    )
    assert instance(there) == instance(fleet)
    there.run("docker", "buildx", "inspect", "fleet")


def instance(fleet: Fleet) -> list[tuple[object, ...]]:
    """The builder as buildx keeps it."""
    said = json.loads((fleet.folder / ".docker/buildx/instances/fleet").read_text())
    return [
        (each["Name"], each["Endpoint"], each["Platforms"], each["DriverOpts"])
        for each in sorted(said["Nodes"], key=lambda node: str(node["Name"]))
    ]


AGAIN = "run builder again for all hosts: what this node cannot do goes to others"


def findings(fleet: Fleet, code: int = 5) -> dict[str, str]:
    """What `health --builder` finds: each once, with its fix."""
    asked = fleet.provision("health", "--builder", "fleet", "--severity", "warning")
    found = {each["id"]: each["fix"].removeprefix("# ") for each in asked.envelope["hosts"][0]["findings"]}
    assert asked.code == code, (asked.out, asked.err)
    assert len(found) == len(asked.envelope["hosts"][0]["findings"]), asked.out
    return found


def check_each_fault_is_one_finding(fleet: Fleet) -> None:
    """A platform lost while the daemon runs and before it starts, a clock that is off, an older BuildKit."""
    spare, arm = fleet.machines["spare"], fleet.machines["arm"]
    handler = "/proc/sys/fs/binfmt_misc/qemu-riscv64"
    spare.run(f"echo -1 >{handler}")
    assert findings(fleet) == {"node-build": "look at that host: health --deep, or explain PLATFORM"}
    spare.run("systemctl restart buildkit && buildctl --wait debug workers")
    assert findings(fleet) == {"node-platform": AGAIN}
    spare.run("systemctl restart systemd-binfmt buildkit && buildctl --wait debug workers")

    ahead = "#!/bin/sh\nexec /usr/bin/date --date '1 hour' \"$@\"\n"
    arm.run("cat >/usr/local/bin/date && chmod 755 /usr/local/bin/date", stdin=ahead)
    assert findings(fleet) == {"node-clock": "timedatectl set-ntp true, on that host"}
    arm.run("rm /usr/local/bin/date")

    older = publish(fleet.folder / "older", version=EARLIER)
    arm.put(older.path, "/root/older.tar.gz")
    arm.run(f"mkdir /opt/buildkit/{EARLIER} && tar -xzf /root/older.tar.gz -C /opt/buildkit/{EARLIER}")
    own = arm.run("readlink /opt/buildkit/current").stdout.strip()
    for version, expected in ((EARLIER, {"node-version"}), (own, set[str]())):
        arm.run(
            f"ln -sfn {version} /opt/buildkit/current && systemctl restart buildkit && buildctl --wait debug workers"
        )
        assert set(findings(fleet, 5 if expected else 0)) == expected


def check_a_node_that_dies_during_a_build(fleet: Fleet) -> None:
    """The build ends, and says so; the same build succeeds once the node is back."""
    long = fleet.folder / "long"
    long.mkdir()
    words = json.dumps(["/work", *["x"] * 255])
    (long / "work").write_bytes(elf.work(of_platform("linux/arm/v7")))
    (long / "work").chmod(0o755)
    (long / "Dockerfile").write_text("FROM scratch\nCOPY work /work\n" + f"RUN {words}\n" * 100)
    command = [
        "build",
        "--builder",
        "fleet",
        "--no-cache",
        "--progress",
        "plain",
        "--platform",
        "linux/arm/v7",
    ]
    options = ["--output", "type=cacheonly", "long"]
    with fleet.begin(str(fleet.program), *command, *options) as building:
        assert building.stderr
        assert any("RUN" in line for line in building.stderr)
        fleet.machines["arm"].run("systemctl kill --signal KILL buildkit")
        said = building.stderr.read()
        assert building.wait(300) != 0
    assert "ERROR" in said
    fleet.machines["arm"].run("systemctl restart buildkit && buildctl debug workers")
    (long / "Dockerfile").write_text(f"FROM scratch\nCOPY work /work\nRUN {words}\n")
    fleet.run(str(fleet.program), *command, *options)


def check_a_dead_node(fleet: Fleet, registry: Registry, assigned: dict[str, list[str]]) -> None:
    """It fails the builds that need it, and no other; a second `builder` gives its platforms to the others."""
    fleet.machines["arm"].run("systemctl stop buildkit ssh.socket ssh --no-block; sleep 1", check=False)
    own, others = assigned["arm"], [each for each in BUILT if each not in assigned["arm"]]
    seen = findings(fleet)
    assert list(seen) == ["node-unreachable"]
    assert seen["node-unreachable"].endswith(f"; or {AGAIN}")
    fleet.build(f"{registry.address}/builder:two", *others)
    assert sorted(registry.platforms("builder:two")) == sorted(others)
    assert fleet.build(f"{registry.address}/builder:three", own[0], check=False).returncode != 0

    left = fleet.builder("--hosts", "all")
    made, arm = left.envelope["hosts"]
    assert (left.code, made["status"], arm["host"], arm["status"]) == (4, "changed", "arm", "unreachable")
    assert "arm" not in nodes(left)
    assert "linux/arm64" in nodes(left)["spare"]
    (line,) = (note for note in made["notes"] if note.startswith("arm is left out"))
    # Both emulate it here, alike fast: either may have had it.
    assert ("spare emulates linux/arm64" in line) == ("linux/arm64" in own)
    assert "nobody builds linux/arm/v7" in line
    fleet.build(f"{registry.address}/builder:four", "linux/amd64", "linux/arm64")


def check_removal(fleet: Fleet) -> None:
    assert fleet.builder("--remove").code == 0
    assert list((fleet.folder / ".ssh").iterdir()) == []
    assert "fleet" not in fleet.run(str(fleet.program), "ls").stdout
    assert fleet.builder("--remove").envelope["hosts"][0]["notes"] == ["there is no builder fleet"]


TLS = """
[buildkit.tls]
authority = "own"
"""


def test_over_tls_each_platform_is_built_where_it_belongs_and_only_by_whom_the_authority_knows(
    tmp_path: Path, release: Release, registry: Registry
) -> None:
    names = ("server", "arm")
    with ExitStack() as stack:
        machines = {name: stack.enter_context(Host(name, packages=("qemu-user-static",))) for name in names}
        (tmp_path / ".ssh").mkdir(mode=0o700)
        (tmp_path / "ssh_config").write_text("\n".join(each.ssh_config for each in machines.values()))
        context(tmp_path / "context")
        ports = dict(zip(names, (free_port(), free_port()), strict=True))
        more = {name: f'names = ["127.0.0.1"]\nlisten = ["tcp://127.0.0.1:{ports[name]}"]' for name in names}
        configure(tmp_path, release, TLS, more)
        made = Fleet(machines=machines, folder=tmp_path, program=buildx())
        provisioned = made.provision("provision", "--hosts", "server,arm")
        assert provisioned.code == 0, (provisioned.out, provisioned.err)
        settled = made.provision("plan", "--hosts", "server,arm")
        assert (settled.code, [each["steps"] for each in settled.envelope["hosts"]]) == (0, [[], []])

        printed = made.builder("--hosts", "server,arm", "--print")
        assert (printed.code, len(printed.envelope["hosts"][0]["nodes"])) == (0, 2)
        assert "server was not tried" in printed.envelope["hosts"][0]["notes"][0]
        assert not (tmp_path / ".config/provision/client").exists()

        first = made.builder("--hosts", "server,arm")
        assert first.code == 0, (first.out, first.err)
        endpoints = {row["endpoint"] for row in first.envelope["hosts"][0]["nodes"]}
        assert endpoints == {f"tcp://127.0.0.1:{port}" for port in ports.values()}
        assert list((tmp_path / ".ssh").iterdir()) == []
        image, platforms = f"{registry.address}/builder:tls", BUILT
        made.build(image, *platforms)
        assert sorted(registry.platforms("builder:tls")) == sorted(platforms)
        for name, own in nodes(first).items():
            assert built_by(machines[name], image) == set(own)
        healthy = made.provision("health", "--builder", "fleet")
        assert healthy.code == 0, (healthy.out, healthy.err)
        assert {row["node"]: sorted(row["built"]) for row in healthy.envelope["hosts"][0]["nodes"]} == {
            name: sorted(own) for name, own in nodes(first).items()
        }
        check_who_is_let_in(made, ports["server"])
        check_no_key_is_anywhere(made, provisioned, first)
        check_certificates_that_end(made)
        check_renewal(made)


def check_certificates_that_end(fleet: Fleet) -> None:
    """Near their end and past it: the server's, and this machine's own."""
    authority = Authority(folder=fleet.folder / ".config/provision/authority")
    host, renews = fleet.machines["arm"], "run provision for that host, which renews it"
    before = (
        host.run("cat /etc/buildkit/tls/server.pem").stdout,
        host.run("cat /etc/buildkit/tls/server.key").stdout,
    )
    for days, severity in ((0.005, "warning"), (-0.01, "error")):
        short = authority.for_server("arm", ("127.0.0.1", "arm", "localhost"), days=days)
        put_certificate(host, short.certificate, short.key.reveal())
        assert findings(fleet) == {"node-certificate": renews}
        assert worst(fleet) == severity
    put_certificate(host, *before)
    own = fleet.folder / ".config/provision/client"
    kept = {path: path.read_text() for path in own.iterdir()}
    for days, severity in ((0.005, "warning"), (-0.01, "error")):
        short = authority.for_client("soon", days=days)
        (own / "cert.pem").write_text(short.certificate)
        (own / "key.pem").write_text(short.key.reveal())
        assert findings(fleet) == {
            "client-certificate": "run builder again, or get a new one with client-cert"
        }
        assert worst(fleet) == severity
    for path, text in kept.items():
        path.write_text(text)
    assert findings(fleet, 0) == {}


def put_certificate(host: Host, certificate: str, key: str) -> None:
    for name, text in (("server.pem", certificate), ("server.key", key)):
        host.run(f"cat >/etc/buildkit/tls/{name}", stdin=text)
    host.run("systemctl restart buildkit && buildctl --wait debug workers")


def worst(fleet: Fleet) -> str:
    (only,) = fleet.provision("health", "--builder", "fleet").envelope["hosts"][0]["findings"]
    severity: str = only["severity"]
    return severity


def check_who_is_let_in(fleet: Fleet, port: int) -> None:
    """Nobody without a certificate, with one of another authority, an expired one, or a server's."""
    authority = Authority(folder=fleet.folder / ".config/provision/authority")
    foreign = Authority(folder=fleet.folder / "foreign")
    foreign.make()
    server = fleet.machines["server"].root / "etc/buildkit/tls"
    certificates = {
        "right": authority.for_client("right"),
        "foreign": foreign.for_client("foreign"),
        "expired": authority.for_client("expired", days=-0.01),
        "server": Issued(
            certificate=(server / "server.pem").read_text(), key=Secret((server / "server.key").read_text())
        ),
    }
    let_in = {name: asks(fleet, port, authority, issued) for name, issued in certificates.items()}
    assert let_in == {"right": True, "foreign": False, "expired": False, "server": False}
    assert not asks(fleet, port, authority, None)

    stolen = authority.for_client("stolen")
    assert asks(fleet, port, authority, stolen)
    revoked = fleet.provision("client-cert", "stolen", "--revoke")
    assert revoked.code == 0, revoked.err
    assert fleet.provision("plan", "--hosts", "server").code == 2
    again = fleet.provision("provision", "--hosts", "server,arm")
    assert again.code == 0, (again.out, again.err)
    assert not asks(fleet, port, authority, stolen)
    assert asks(fleet, port, authority, certificates["right"])
    # This machine's own certificate is one of the others.
    assert fleet.provision("health", "--builder", "fleet").code == 0


def asks(fleet: Fleet, port: int, authority: Authority, issued: Issued | None) -> bool:
    """Whether the daemon answers buildctl with this certificate."""
    folder = fleet.folder / "client"
    folder.mkdir(exist_ok=True)
    (folder / "ca.pem").write_text(authority.servers)
    words = ["--tlscacert", str(folder / "ca.pem")]
    if issued:
        (folder / "cert.pem").write_text(issued.certificate)
        (folder / "key.pem").write_text(issued.key.reveal())
        words = ["--tlsdir", str(folder)]
    (client,) = (fleet.machines["server"].root / "opt/buildkit").glob("v*/bin/buildctl")
    address = ["--addr", f"tcp://127.0.0.1:{port}", "--timeout", "5"]
    done = fleet.run(str(client), *address, *words, "debug", "workers", check=False)
    return done.returncode == 0


def check_no_key_is_anywhere(fleet: Fleet, *outcomes: Outcome) -> None:
    """The authority's keys on hosts, and a host's own key anywhere but in its file."""
    authority = fleet.folder / ".config/provision/authority"
    own = [(authority / f"{name}.key").read_text().splitlines()[1] for name in ("servers", "clients")]
    for host in fleet.machines.values():
        found = host.run(
            f"grep -rlF -e {own[0]} -e {own[1]} /etc /opt /var /root /tmp /run/buildkit", check=False
        )
        assert found.stdout == ""
        key = host.run("sed -n 2p /etc/buildkit/tls/server.key").stdout.strip()
        assert host.run("stat -c '%a %U' /etc/buildkit/tls/server.key").stdout == "600 root\n"
        places = host.run(f"grep -rlF {key} /etc /opt /var /root /tmp", check=False).stdout.split()
        assert places == ["/etc/buildkit/tls/server.key"]
        assert not any(key in each.out + each.err for each in outcomes)
        kept = [path for path in fleet.folder.rglob("*") if path.is_file() and path.stat().st_size < 1 << 20]
        assert not [path for path in kept if key.encode() in path.read_bytes()]


def check_renewal(fleet: Fleet) -> None:
    """A certificate of which less than a third is left is replaced, with a restart; a second run does nothing.

    Its key stays. Another one comes where that is none of the certificate's, which buildctl tells without openssl.
    """
    authority = Authority(folder=fleet.folder / ".config/provision/authority")
    host, names = fleet.machines["arm"], ("127.0.0.1", "arm", "localhost")

    def pair() -> tuple[str, str]:
        return (
            host.run("cat /etc/buildkit/tls/server.pem").stdout,
            host.run("cat /etc/buildkit/tls/server.key").stdout,
        )

    host.run("! command -v openssl || mv $(command -v openssl) /root/openssl")
    certificate, key = pair()
    other = authority.for_server("arm", names)
    for file, text, new_key in (
        ("server.pem", authority.renewed(certificate, "arm", names, days=0.02), False),
        ("server.key", other.key.reveal(), True),
    ):
        host.run(f"cat >/etc/buildkit/tls/{file}", stdin=text)
        renewed = fleet.provision("provision", "--hosts", "arm")
        assert renewed.code == 0, (renewed.out, renewed.err)
        steps = {step["id"] for step in renewed.host["steps"]}
        assert {"tls-certificate", "service-restart"} <= steps
        assert ("tls-key" in steps) == new_key
        assert "tls-clients" not in steps
        assert pem.is_pair(*pair())
        assert (pair()[1] == key) != new_key
    assert fleet.provision("provision", "--hosts", "arm").host["steps"] == []
    assert fleet.provision("health", "--builder", "fleet").code == 0
