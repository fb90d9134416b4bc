"""What can be wrong with a host, one thing at a time: each a small change of recorded facts.

A new requirement brings its fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from provision import paths
from provision.facts import Disk, Facts, Mount, PackageAnswer, Runc
from provision.facts.basis import Certificate, Place, Stranger
from provision.services.manager import Unit
from provision.spec import Emulation, Registry, Spec, Tls

MIB: Final = 1024
"""In KiB."""
ALWAYS: Final = ("bare", "provisioned")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault, and which requirement it breaks on which of the recorded hosts."""

    facts: Callable[[Facts], Facts] = lambda seen: seen
    spec: Callable[[Spec], Spec] = lambda spec: spec
    breaks: str
    """The id of the requirement; empty where it is no reason to refuse."""
    on: tuple[str, ...] = ALWAYS
    only_named: bool = False
    """Whether it matters only where platforms are named."""
    doubts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Requirements that are doubtful then -> the hosts."""


def system(**changes: Any) -> Callable[[Facts], Facts]:
    return lambda seen: replace(seen, system=replace(seen.system, **changes))


def binfmt(**changes: Any) -> Callable[[Facts], Facts]:
    return lambda seen: replace(seen, binfmt=replace(seen.binfmt, **changes))


def around(*runs: str, **changes: Any) -> Callable[[Facts], Facts]:
    """An unprivileged container: what runs there, runs by handlers of the machine around it."""

    def change(seen: Facts) -> Facts:
        seen = binfmt(**changes)(system(contained=True, own_users=True, shared_table=False)(seen))
        probes = {
            name: replace(
                probe,
                status=probe.expected if probe.natively or name in runs else 127,
                executable="/usr/bin/qemu" if name in runs else probe.executable if probe.natively else "",
            )
            for name, probe in seen.probes.items()
        }
        return replace(seen, probes=probes)

    return change


def user(**changes: Any) -> Callable[[Facts], Facts]:
    return lambda seen: replace(seen, user=replace(seen.user, **changes))


def room(path: str, mib: int) -> Callable[[Facts], Facts]:
    return lambda seen: replace(
        seen, disks={**seen.disks, path: Disk(size=1 << 24, free=mib * MIB, inodes=1 << 20)}
    )


def without_emulators(seen: Facts) -> Facts:
    """No package manager, and no emulator on the host."""
    return replace(seen, tools=frozenset(), interpreters={})


def not_running_its_own(seen: Facts) -> Facts:
    """As where chroot is missing or forbidden: no trial program runs."""
    failed = {
        name: replace(probe, status=127, executable="", natively=None) for name, probe in seen.probes.items()
    }
    return replace(seen, probes=failed)


def buildkit(**changes: Any) -> Callable[[Spec], Spec]:
    return lambda spec: replace(spec, buildkit=replace(spec.buildkit, **changes))


def mounted(point: str, option: str) -> Callable[[Facts], Facts]:
    more = Mount(point=point, type="ext4", options=frozenset({option}))
    return lambda seen: replace(seen, mounts=(*seen.mounts, more))


def image_system(seen: Facts) -> Facts:
    """As Fedora CoreOS: the root is read-only, /etc and /var are not, and the other folders are links into /var."""
    trees = {paths.RELEASES: "/var/opt", "/usr/local/bin": "/var/usrlocal/bin"}
    for point, option in (("/", "ro"), ("/etc", "rw"), ("/var", "rw"), ("/run", "rw")):
        seen = mounted(point, option)(seen)
    return replace(seen, trees=trees)


def basis(**changes: Any) -> Callable[[Facts], Facts]:
    return lambda seen: replace(seen, basis=replace(seen.basis, **changes))


def place(**changes: Any) -> Callable[[Facts], Facts]:
    return basis(places={paths.STATE: Place(**changes)})


def runc(version: str) -> Callable[[Facts], Facts]:
    return lambda seen: replace(seen, runc=Runc(path="/usr/sbin/runc", version=version))


def answered(manager: str, status: int | None, text: str) -> Callable[[Facts], Facts]:
    """What that package manager said when it was asked to install the emulators."""
    said = PackageAnswer(manager=manager, status=status, packages=("qemu-user-static",), text=text)
    return lambda seen: replace(seen, tools=frozenset({manager, "curl"}), package_answers={manager: said})


INTERRUPTED: Final = (
    "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem."
)


FAULTS: Final[Mapping[str, Fault]] = {
    "none": Fault(breaks=""),
    "a user whom nobody knows": Fault(
        facts=lambda seen: replace(seen, accounts={"ci": True, "nosuch": False}), breaks="users"
    ),
    "no sudo": Fault(facts=user(name="ci", uid=1000, sudo="none"), breaks="root"),
    "a password for sudo": Fault(
        facts=user(name="ci", uid=1000, sudo="password"), breaks="", doubts={"root": ALWAYS}
    ),
    "every folder for temporary files is noexec": Fault(
        facts=lambda seen: replace(seen, temporary={"/tmp": False, "/run": False}, probes={}),
        breaks="temporary",
    ),
    "no writable folder for temporary files": Fault(
        facts=lambda seen: replace(seen, temporary={}, probes={}), breaks="temporary"
    ),
    "a read-only /etc": Fault(
        facts=mounted("/etc", "ro"),
        spec=lambda spec: replace(spec, platforms=("linux/arm64", "linux/arm/v7")),
        breaks="mounts",
        on=("bare",),
    ),
    "a read-only /usr, where packages go": Fault(facts=mounted("/usr", "ro"), breaks="mounts", on=("bare",)),
    "an /opt from which no program may run": Fault(facts=mounted("/opt", "noexec"), breaks="mounts"),
    "a state from which no program may run": Fault(facts=mounted(paths.STATE, "noexec"), breaks="mounts"),
    "a read-only system, whose /opt and /etc are elsewhere": Fault(
        facts=image_system, spec=lambda spec: replace(spec, platforms=("linux/amd64",)), breaks=""
    ),
    "an old kernel": Fault(facts=system(kernel="4.7.10"), breaks="kernel"),
    "a kernel of no number": Fault(facts=system(kernel=""), breaks="kernel"),
    "a read-only table": Fault(
        facts=binfmt(mounted="binfmt_misc", options=frozenset({"ro"})), breaks="binfmt-misc"
    ),
    "a table of the machine around, which has no handler": Fault(
        facts=around(mounted="binfmt_misc", writable=False), breaks="binfmt-misc"
    ),
    "a table of the machine around, which has some handlers": Fault(
        facts=around("aarch64", mounted="binfmt_misc", writable=False),
        breaks="binfmt-misc",
        only_named=True,
    ),
    "a table of the machine around, which has all handlers": Fault(
        facts=around("aarch64", "arm", mounted="binfmt_misc", options=frozenset({"ro"}), writable=False),
        breaks="",
    ),
    "handlers of the machine around, and no table here": Fault(
        facts=around("aarch64", "arm", mounted="none"), breaks=""
    ),
    "a handler of the machine around, and no table here": Fault(
        facts=around("arm", mounted="none"), breaks="binfmt-misc", only_named=True
    ),
    "a kernel without its modules": Fault(facts=binfmt(mounted="none", module="gone"), breaks="binfmt-misc"),
    "a kernel without binfmt_misc": Fault(
        facts=binfmt(mounted="none", present=False, module="none"), breaks="binfmt-misc"
    ),
    "a table that is off": Fault(
        facts=binfmt(mounted="binfmt_misc", enabled=False), breaks="", doubts={"binfmt-misc": ALWAYS}
    ),
    "a broken automount": Fault(
        facts=binfmt(mounted="autofs", problem="Too many levels of symbolic links"),
        breaks="",
        doubts={"binfmt-misc": ALWAYS},
    ),
    "no table at all": Fault(
        facts=binfmt(present=False, mounted="none"), breaks="", doubts={"binfmt-misc": ALWAYS}
    ),
    "F is refused": Fault(facts=binfmt(fix_binary=False, trial_error="Invalid argument"), breaks="f-flag"),
    "the machine's own programs do not run": Fault(facts=not_running_its_own, breaks="own-programs"),
    "no package manager": Fault(
        facts=lambda seen: replace(seen, tools=frozenset()),
        breaks="emulators",
        on=("bare",),
        only_named=True,
    ),
    "no source of QEMU": Fault(facts=without_emulators, breaks="emulators", only_named=True),
    "an interrupted dpkg": Fault(
        facts=answered("apt-get", 100, INTERRUPTED), breaks="packages", on=("bare",)
    ),
    "a package that takes others away": Fault(
        facts=answered(
            "apt-get", 0, "Remv qemu-user-binfmt [1:7.2+dfsg-7]\nInst qemu-user-static (1:7.2)\n"
        ),
        breaks="",
        doubts={"packages": ("bare",)},
    ),
    "no lists of packages": Fault(
        facts=answered("apt-get", None, ""), breaks="", doubts={"packages": ("bare",)}
    ),
    "pacman without lists": Fault(
        facts=answered("pacman", 1, "error: target not found: qemu-user-static\n"),
        breaks="packages",
        on=("bare",),
    ),
    "no repository that has QEMU": Fault(
        facts=answered("dnf", 1, "Error: Unable to find a match: qemu-user-static\n"),
        breaks="emulators",
        on=("bare",),
        only_named=True,
    ),
    "an interpreter that does not exist": Fault(
        spec=lambda spec: replace(spec, emulation=Emulation(interpreters="/opt/qemu/qemu-{qemu}")),
        breaks="emulators",
        only_named=True,
    ),
    "an emulator to be sent that does not exist": Fault(
        spec=lambda spec: replace(spec, emulation=Emulation(interpreters="send:/no/such/qemu-{qemu}")),
        breaks="emulators",
        only_named=True,
    ),
    "no systemd, which is asked for": Fault(
        facts=system(systemd=None), spec=buildkit(service="systemd"), breaks="service"
    ),
    "no OpenRC, which is asked for": Fault(spec=buildkit(service="openrc"), breaks="service"),
    "control groups that runc cannot use": Fault(
        facts=system(control_groups="partial"), breaks="", doubts={"cgroups": ALWAYS}
    ),
    "no control groups": Fault(facts=system(control_groups="none"), breaks="", doubts={"cgroups": ALWAYS}),
    "no control groups, and a start that mounts them": Fault(
        facts=system(control_groups="none", systemd=None), breaks=""
    ),
    "no service manager": Fault(facts=system(systemd=None, init="tini"), breaks=""),
    "a container that shares the table": Fault(
        facts=system(shared_table=True, container="docker"), breaks="", doubts={"own-table": ALWAYS}
    ),
    "a container whose namespaces are not told": Fault(
        facts=system(shared_table=None, container="lxc"), breaks="", doubts={"own-table": ALWAYS}
    ),
    "a processor without a release": Fault(facts=system(machine="mips64"), breaks="release"),
    "a processor that is too old for the release": Fault(facts=system(machine="armv6l"), breaks="release"),
    "a host that is to download and cannot": Fault(
        spec=buildkit(fetch="host", mirror="/mirror"), breaks="download", on=("bare",)
    ),
    "an old runc for a BuildKit that is built": Fault(
        facts=runc("1.0.0~rc93"), spec=buildkit(source="go"), breaks="runc"
    ),
    "no runc, and nothing that installs it": Fault(
        facts=lambda seen: replace(seen, tools=frozenset({"curl"})),
        spec=lambda spec: replace(buildkit(source="go")(spec), platforms=("linux/amd64",)),
        breaks="runc",
    ),
    "no CNI plugins for a BuildKit that is built": Fault(
        facts=runc("1.1.5"), spec=buildkit(source="go", network="bridge"), breaks="cni"
    ),
    "a buildkitd of somebody else": Fault(
        facts=basis(
            strangers=(
                Stranger(pid=7, program="/usr/bin/buildkitd", unit="x.service", state=True, socket=True),
            )
        ),
        breaks="daemon",
    ),
    "a socket unit of somebody else": Fault(
        facts=lambda seen: replace(
            seen, units={**seen.units, paths.SERVICE_SOCKET: Unit(load="loaded", active="active")}
        ),
        breaks="",
        doubts={"daemon": ALWAYS},
    ),
    "a file where the state belongs": Fault(facts=place(kind="other"), breaks="state"),
    "a link to nowhere where the state belongs": Fault(facts=place(kind="link"), breaks="state"),
    "a read-only state": Fault(facts=place(kind="folder", problem="Read-only file system"), breaks="state"),
    "a read-only folder of the socket": Fault(
        facts=basis(places={paths.SOCKET_FOLDER: Place(kind="folder", problem="Read-only file system")}),
        breaks="state",
    ),
    "a state on a full disk": Fault(
        facts=place(kind="folder", problem="No space left on device"), breaks=""
    ),
    "a state behind a link": Fault(facts=place(kind="folder", target="/data"), breaks=""),
    "a state on overlayfs": Fault(
        facts=lambda seen: replace(
            seen, mounts=(*seen.mounts, Mount(point=paths.STATE, type="overlay", options=frozenset()))
        ),
        breaks="",
        doubts={"overlay": ALWAYS},
    ),
    "a container without CAP_MKNOD": Fault(
        facts=basis(capabilities={"init": ~(1 << 27), "self": ~(1 << 27)}),
        breaks="",
        doubts={"capabilities": ALWAYS},
    ),
    "a bridge without iptables": Fault(spec=buildkit(network="bridge"), breaks="network"),
    "plugins without their settings": Fault(spec=buildkit(network="cni"), breaks="network"),
    "a certificate that is not there": Fault(
        facts=basis(certificates={"/cert.pem": Certificate(lost=True)}),
        spec=buildkit(tls=Tls(cert="/cert.pem", key="/key.pem")),
        breaks="tls",
    ),
    "name servers on loopback": Fault(
        facts=basis(resolvers={paths.RESOLVER: ("127.0.0.1",)}), breaks="", doubts={"resolvers": ALWAYS}
    ),
    "no name servers": Fault(
        facts=basis(no_resolvers="No such file or directory"), breaks="", doubts={"resolvers": ALWAYS}
    ),
    "a file of name servers that leads to itself": Fault(
        facts=basis(no_resolvers="Too many levels of symbolic links"),
        breaks="",
        doubts={"resolvers": ALWAYS},
    ),
    "a mirror for a name that no image has": Fault(
        spec=buildkit(registries={"index.docker.io": Registry(mirrors=("m",))}),
        breaks="",
        doubts={"registries": ALWAYS},
    ),
    "a host that is to download what is built": Fault(
        facts=runc("1.1.5"), spec=buildkit(source="go", fetch="host"), breaks="download"
    ),
    "200 MiB for releases": Fault(facts=room(paths.RELEASES, 200), breaks="room", on=("bare",)),
    "200 MiB for builds": Fault(facts=room(paths.STATE, 200), breaks="", doubts={"disk": ALWAYS}),
    "a small memory": Fault(facts=system(memory=400_000, swap=0), breaks="", doubts={"memory": ALWAYS}),
    "large pages": Fault(facts=system(page=16), breaks="", doubts={"page-size": ALWAYS}),
}
