"""What buildkitd, its next start and its build steps need: each fault alone is exactly its finding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from provision import health, paths
from provision.facts import ControlGroups, Facts
from provision.facts.basis import Basis, Certificate, Damage, Place, Runtime, Stranger
from provision.placed import current
from provision.services.manager import Unit
from provision.spec import Dns, Registry, Spec, Tls
from tests.unit.health.test_health import daemon, label
from tests.unit.plan.faults import mounted
from tests.unit.recorded import SPEC, buildkit, networked, run_by

ALL: Final = (1 << 41) - 1
"""The capabilities of Linux 6."""
NOW: Final = 1_780_000_000
DAY: Final = 86_400
TLS: Final = Tls(cert="/etc/ssl/cert.pem", key="/etc/ssl/key.pem")
ENCRYPTED: Final = buildkit(tls=TLS)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A change of the healthy host, and the finding that it is."""

    change: Callable[[Facts], Facts]
    finding: str
    """Empty: none."""
    severity: str = "error"
    spec: Spec = SPEC


def sound(spec: Spec = SPEC) -> Facts:
    """The healthy host, with everything looked at."""
    facts = networked(spec)
    installed = current(facts)
    assert installed
    basis = Basis(
        places={path: Place(kind="folder") for path in (paths.STATE, paths.SCRATCH)},
        runtime=Runtime(path=f"{paths.PROGRAMS}/buildkit-runc", said="runc version 1.4.3"),
        capabilities={"daemon": ALL, "init": ALL, "self": ALL},
        lock=True,
        resolvers={paths.RESOLVER: ("192.0.2.1",)},
        certificates=certificates() if spec.buildkit.tls else {},
    )
    facts = replace(facts, basis=basis, system=replace(facts.system, clock=NOW))
    # As the daemon calls it (util/network/netproviders/network.go).
    network = {"bridge": "cni", "cni": "cni"}.get(spec.buildkit.network, "host")
    return label("network", network)(facts)


def basis(**changes: Any) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, basis=replace(facts.basis, **changes))


def both(*changes: Callable[[Facts], Facts]) -> Callable[[Facts], Facts]:
    def change(facts: Facts) -> Facts:
        for each in changes:
            facts = each(facts)
        return facts

    return change


def groups(version: ControlGroups) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, system=replace(facts.system, control_groups=version))


def damage(program: str, *, lost: bool = True) -> Callable[[Facts], Facts]:
    """A program of the release in use is not as it was."""
    found = (Damage(program=program, lost=lost),)

    def change(facts: Facts) -> Facts:
        installed = current(facts)
        assert installed
        return basis(damage={installed.folder: found})(facts)

    return change


def place(path: str, **changes: Any) -> Callable[[Facts], Facts]:
    return lambda facts: basis(places={**facts.basis.places, path: Place(**changes)})(facts)


def without(path: str) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, files={k: v for k, v in facts.files.items() if k != path})


def no_iptables(facts: Facts) -> Facts:
    return replace(facts, tools=facts.tools - {"iptables"})


def text(path: str, content: str) -> Callable[[Facts], Facts]:
    return lambda facts: replace(
        facts, files={**facts.files, path: replace(facts.files[path], text=content)}
    )


def executable(path: str) -> Callable[[Facts], Facts]:
    def change(facts: Facts) -> Facts:
        assert facts.daemon
        return replace(facts, daemon=replace(facts.daemon, executable=path))

    return change


def stranger(**changes: Any) -> Callable[[Facts], Facts]:
    found = Stranger(
        pid=7, program="/usr/local/bin/buildkitd", unit="buildkitd.service", state=False, socket=False
    )
    return basis(strangers=(replace(found, **changes),))


def unit(name: str, **changes: Any) -> Callable[[Facts], Facts]:
    return lambda facts: replace(
        facts, units={**facts.units, name: replace(facts.units.get(name, Unit()), **changes)}
    )


@cache
def pem(days: int) -> str:
    """A certificate that ends in so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "buildkitd")])
    end = datetime.fromtimestamp(NOW, timezone.utc) + timedelta(days=days, hours=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(end - timedelta(days=400))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


def certificates(days: int = 90, **changes: Any) -> dict[str, Certificate]:
    return {
        TLS.cert: replace(Certificate(text=pem(days), modified=NOW - DAY), **changes),
        TLS.key: Certificate(modified=NOW - DAY),
    }


def started(moment: int) -> Callable[[Facts], Facts]:
    return lambda facts: replace(
        facts, files={**facts.files, paths.SOCKET: replace(facts.files[paths.SOCKET], modified=moment)}
    )


CASES: Final[dict[str, Case]] = {
    "healthy": Case(change=lambda facts: facts, finding=""),
    "healthy, with certificates": Case(change=lambda facts: facts, finding="", spec=ENCRYPTED),
    "nothing was looked at": Case(change=lambda facts: replace(facts, basis=Basis()), finding=""),
    "runc of the release is gone": Case(change=damage("buildkit-runc"), finding="release-damaged"),
    "buildkitd was changed": Case(change=damage("buildkitd", lost=False), finding="release-damaged"),
    "buildctl is gone": Case(
        change=lambda facts: replace(damage("buildctl")(facts), worker=None), finding="release-damaged"
    ),
    "a release that is not in use is damaged": Case(
        change=basis(damage={"/opt/buildkit/v0.1.0-000000000000": (Damage(program="x", lost=True),)}),
        finding="",
    ),
    "no runc": Case(change=basis(runtime=Runtime()), finding="runtime-broken"),
    "runc does not run": Case(
        change=basis(runtime=Runtime(path="/usr/bin/runc", problem="status 126: Permission denied")),
        finding="runtime-broken",
    ),
    "no program may run from /opt": Case(
        change=both(mounted("/opt", "noexec"), lambda facts: replace(facts, worker=None)),
        finding="runtime-broken",
    ),
    "no program may run from where the state leads": Case(
        change=both(
            mounted("/data", "noexec"),
            daemon(tmpdir=paths.SCRATCH),
            lambda facts: replace(facts, trees={paths.SCRATCH: "/data/tmp"}),
        ),
        finding="worker-tmpdir",
    ),
    "settings that are no TOML": Case(change=text(paths.CONFIG, "no toml ["), finding="settings-broken"),
    "settings that are gone": Case(change=without(paths.CONFIG), finding="drift"),
    "settings of somebody else's": Case(
        change=text(paths.CONFIG, "[worker.oci]\nenabled = true\n"), finding="drift", severity="warning"
    ),
    "the link is gone": Case(change=without(paths.CURRENT), finding="drift"),
    "the link for people is gone": Case(change=without(paths.BUILDCTL), finding="drift", severity="warning"),
    "the unit is gone": Case(change=without(paths.UNIT), finding="drift"),
    "the folder of the socket is not made at boot": Case(change=without(paths.TMPFILES), finding="drift"),
    "the group is gone": Case(change=lambda facts: replace(facts, groups={}), finding="drift"),
    "a user left the group": Case(
        change=lambda facts: facts, finding="drift", severity="warning", spec=buildkit(users=("absent",))
    ),
    "the state was moved away": Case(change=place(paths.STATE, kind="none"), finding="state-folder"),
    "the state was exchanged": Case(change=basis(lock=False), finding="state-folder"),
    "the state is a file": Case(change=place(paths.STATE, kind="other"), finding="state-folder"),
    "the state is a link to nowhere": Case(
        change=place(paths.STATE, kind="link", target="/data"), finding="state-folder"
    ),
    "the state is a link to a folder": Case(
        change=place(paths.STATE, kind="folder", target="/data"), finding=""
    ),
    "the state is read-only": Case(
        change=place(paths.STATE, kind="folder", problem="Read-only file system"), finding="state-folder"
    ),
    "the folder for temporary files is gone": Case(
        change=place(paths.SCRATCH, kind="none"), finding="state-folder"
    ),
    "the folder of the socket is read-only": Case(
        change=place(paths.SOCKET_FOLDER, kind="folder", problem="Read-only file system"),
        finding="state-folder",
    ),
    "the disk of the socket is full": Case(
        change=place(paths.SOCKET_FOLDER, kind="folder", problem="No space left on device"),
        finding="state-folder",
    ),
    "a folder where systemd has no log": Case(
        change=place(paths.LOG, kind="file", problem="Is a directory"), finding=""
    ),
    "a capability is taken away": Case(
        change=basis(capabilities={"daemon": ALL & ~(1 << 27), "init": ALL}), finding="capabilities"
    ),
    "a container without it": Case(
        change=basis(capabilities={"daemon": ALL & ~(1 << 21), "init": ALL & ~(1 << 21)}),
        finding="capabilities",
    ),
    "one that no build step gets": Case(
        change=basis(capabilities={"daemon": ALL & ~(1 << 25), "init": ALL}), finding=""
    ),
    "control groups are read-only": Case(
        change=basis(no_control_group="Read-only file system"), finding="control-groups"
    ),
    "control groups of version 1 without devices": Case(change=groups("partial"), finding="control-groups"),
    "no namespaces": Case(change=basis(no_namespaces=("pid", "user")), finding="namespaces"),
    "no user namespaces, which no build step has": Case(change=basis(no_namespaces=("user",)), finding=""),
    "a file in the place of /dev/null": Case(change=basis(no_devices=("/dev/null",)), finding="devices"),
    "as many namespaces as there may be": Case(change=basis(namespaces_used_up=True), finding="namespaces"),
    "no control group namespaces": Case(
        change=both(basis(no_namespaces=("cgroup",)), groups("2")), finding="namespaces"
    ),
    "no control group namespaces, with version 1": Case(
        change=both(basis(no_namespaces=("cgroup",)), groups("1")), finding=""
    ),
    "another daemon has the socket": Case(change=stranger(socket=True), finding="daemon-foreign"),
    "another daemon has the state": Case(change=stranger(state=True, unit=""), finding="daemon-foreign"),
    "what our unit runs is no stranger": Case(change=stranger(state=True, unit=paths.SERVICE), finding=""),
    "a socket unit of somebody else": Case(
        change=unit(paths.SERVICE_SOCKET, active="active", path="/usr/lib/systemd/system/buildkit.socket"),
        finding="daemon-foreign",
        severity="warning",
    ),
    "a drop-in with another program": Case(
        change=executable("/usr/local/bin/buildkitd"), finding="service-program", severity="warning"
    ),
    "a release that was unpacked again while its daemon ran": Case(
        change=executable("/opt/buildkit/.incoming.x.old/bin/buildkitd (deleted)"), finding=""
    ),
    "a resolver on loopback": Case(
        change=basis(resolvers={paths.RESOLVER: ("127.0.0.1", "::1")}),
        finding="resolver-loopback",
        severity="warning",
    ),
    "a resolver on loopback, and one that is not": Case(
        change=basis(resolvers={paths.RESOLVER: ("127.0.0.1", "192.0.2.1")}), finding=""
    ),
    "systemd-resolved": Case(
        change=basis(resolvers={paths.RESOLVER: ("127.0.0.53",), paths.RESOLVED: ("192.0.2.1",)}), finding=""
    ),
    "systemd-resolved without servers": Case(
        change=basis(resolvers={paths.RESOLVER: ("127.0.0.53",)}),
        finding="resolver-loopback",
        severity="warning",
    ),
    "a resolver on loopback, and servers of the configuration": Case(
        change=basis(resolvers={paths.RESOLVER: ("127.0.0.1",)}),
        finding="",
        spec=buildkit(dns=Dns(nameservers=("192.0.2.1",))),
    ),
    "no file of name servers": Case(
        change=basis(resolvers={}, no_resolvers="No such file or directory"),
        finding="resolver-missing",
        severity="warning",
    ),
    "no file of name servers, and servers of the configuration": Case(
        change=basis(resolvers={}, no_resolvers="No such file or directory"),
        finding="",
        spec=buildkit(dns=Dns(nameservers=("192.0.2.1",))),
    ),
    "a file without name servers": Case(
        change=basis(resolvers={paths.RESOLVER: ()}), finding="resolver-missing", severity="warning"
    ),
    "a file of name servers that leads to itself": Case(
        change=basis(resolvers={}, no_resolvers="Too many levels of symbolic links"),
        finding="resolver-missing",
        spec=buildkit(dns=Dns(nameservers=("192.0.2.1",))),
    ),
    "a bridge without iptables": Case(
        change=no_iptables, finding="network-plugins", spec=buildkit(network="bridge")
    ),
    "plugins without their settings": Case(
        change=without(paths.CNI), finding="network-plugins", spec=buildkit(network="cni")
    ),
    "a bridge": Case(change=lambda facts: facts, finding="", spec=buildkit(network="bridge")),
    "plugins with their settings": Case(
        change=lambda facts: facts, finding="", spec=buildkit(network="cni")
    ),
    "a mirror for a name that no image has": Case(
        change=lambda facts: facts,
        finding="registry-unused",
        severity="warning",
        spec=buildkit(registries={"index.docker.io": Registry(mirrors=("mirror.lan",))}),
    ),
    "a mirror for Docker Hub": Case(
        change=lambda facts: facts,
        finding="",
        spec=buildkit(registries={"docker.io": Registry(mirrors=("mirror.lan",))}),
    ),
    "a certificate is gone": Case(
        change=basis(certificates=certificates(lost=True)), finding="tls-files", spec=ENCRYPTED
    ),
    "a certificate that is none": Case(
        change=basis(certificates=certificates(text="hello\n")), finding="tls-files", spec=ENCRYPTED
    ),
    "another certificate's key": Case(
        change=basis(public_key="0" * 64), finding="tls-files", spec=ENCRYPTED
    ),
    "a certificate that expired": Case(
        change=basis(certificates=certificates(-1)), finding="tls-expiry", spec=ENCRYPTED
    ),
    "a certificate that expires soon": Case(
        change=basis(certificates=certificates(9)), finding="tls-expiry", severity="warning", spec=ENCRYPTED
    ),
    "a certificate that was renewed": Case(
        change=started(NOW - 2 * DAY), finding="tls-renewed", severity="warning", spec=ENCRYPTED
    ),
    "a start after the renewal": Case(change=started(NOW), finding="", spec=ENCRYPTED),
}


@pytest.mark.parametrize("name", CASES)
def test_one_thing_wrong_is_one_finding(name: str) -> None:
    case = CASES[name]
    found = health.find(case.spec, case.change(sound(case.spec)))
    expected = [(case.finding, case.severity)] if case.finding else []
    assert [(each.id, each.severity) for each in found] == expected


@pytest.mark.parametrize("manager", ["openrc", "process"])
def test_a_log_that_cannot_be_written_to_keeps_the_daemon_from_its_next_start(manager: Any) -> None:
    facts = place(paths.LOG, kind="file", problem="Is a directory")(run_by(manager))
    assert "state-folder" in [each.id for each in health.find(SPEC, facts)]


@pytest.mark.parametrize("manager", ["openrc", "process"])
@pytest.mark.parametrize("path", [paths.CONFIG, paths.SERVICE_SCRIPT])
def test_files_of_other_managers_are_compared_too(manager: Any, path: str) -> None:
    facts = run_by(manager)
    assert "drift" not in [each.id for each in health.find(SPEC, facts)]
    changed = health.find(SPEC, text(path, f"{facts.files[path].text}# by hand\n")(facts))
    assert [each.id for each in changed if each.severity != "info"] == ["drift"]


def test_whose_capabilities_count_before_the_daemon_runs() -> None:
    """A process is started from this session, a service by process 1."""
    few = ALL & ~(1 << 21)
    for manager, starter in (("process", "self"), ("openrc", "init")):
        stopped = replace(run_by(manager), daemon=None, basis=Basis(capabilities={starter: few}))  # type: ignore[arg-type]
        assert "capabilities" in [each.id for each in health.find(SPEC, stopped)]


def test_days_are_told() -> None:
    for days, words in ((-1, "expired 1 day ago"), (-3, "expired 3 days ago"), (1, "expires in 1 day")):
        facts = basis(certificates=certificates(days))(sound(ENCRYPTED))
        (found,) = health.find(ENCRYPTED, facts)
        assert found.evidence == f"{TLS.cert} {words}"
