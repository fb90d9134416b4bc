"""What the facts script says of that which buildkitd stands on: programs, folders, limits, daemons of others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from provision import paths
from provision.facts import Facts
from provision.facts.basis import Certificate, Damage, Place, Runtime
from provision.spec import Buildkit, Spec, Tls
from tests.lab import authority
from tests.lab.namespace import MOUNTED
from tests.shells import archives, steps
from tests.shells.archives import plain, sha256
from tests.shells.machine import WITHOUT_APPLETS, Machine

GOOD: Final = plain()
FOLDER: Final = paths.release(archives.VERSION, sha256(GOOD))
RUNC: Final = f"{FOLDER}/bin/buildkit-runc"


@pytest.fixture
def installed(machine: Machine) -> Machine:
    """A host with a release, unpacked by the script that unpacks them everywhere."""
    machine.write(f"{paths.CACHE}/{sha256(GOOD)}", GOOD)
    step = steps.release(FOLDER, sha256(GOOD))
    assert machine.apply(step, steps.link(paths.CURRENT, FOLDER)).states == ["done", "done"]
    return machine


def damage(facts: Facts) -> tuple[Damage, ...]:
    assert set(facts.basis.damage) <= {FOLDER}
    return facts.basis.damage.get(FOLDER, ())


def removed(file: Path) -> None:
    file.unlink()


def shortened(file: Path) -> None:
    os.truncate(file, 100)


def rewritten(file: Path) -> None:
    """As many bytes, others."""
    file.write_bytes(b"x" * file.stat().st_size)


def not_executable(file: Path) -> None:
    file.chmod(0o644)


def touched(file: Path) -> None:
    os.utime(file, (1, 1))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (removed, (Damage(program="buildkit-runc", lost=True),)),
        (shortened, (Damage(program="buildkit-runc", lost=False),)),
        (rewritten, (Damage(program="buildkit-runc", lost=False),)),
        (not_executable, (Damage(program="buildkit-runc", lost=False),)),
        (touched, ()),
    ],
)
def test_a_program_of_the_release(
    installed: Machine, change: Callable[[Path], None], found: tuple[Damage, ...]
) -> None:
    assert damage(installed.facts()) == ()
    change(installed.at(RUNC))
    assert damage(installed.facts()) == found


def test_a_release_without_a_manifest(installed: Machine) -> None:
    """Of an earlier version of this tool: nothing is known but whether it is there."""
    installed.at(f"{FOLDER}/{paths.MANIFEST}").unlink()
    assert damage(installed.facts()) == ()
    installed.at(f"{FOLDER}/bin/buildkitd").unlink()
    assert damage(installed.facts()) == (Damage(program="buildkitd", lost=True),)


def test_the_release_is_unpacked_again_in_its_place(installed: Machine) -> None:
    installed.at(RUNC).unlink()
    installed.write(f"{paths.CACHE}/{sha256(GOOD)}", GOOD)
    assert installed.apply(steps.release(FOLDER, sha256(GOOD))).states == ["done"]
    assert damage(installed.facts()) == ()
    assert installed.listing(paths.RELEASES) == ["current", Path(FOLDER).name]


def test_the_runtime(installed: Machine) -> None:
    installed.write(RUNC, "#!/bin/sh\necho runc version 1.4.3\necho spec: 1.2\n", 0o755)
    own = f"{paths.PROGRAMS}/buildkit-runc"
    assert installed.facts().basis.runtime == Runtime(path=own, said="runc version 1.4.3")
    installed.write(RUNC, "#!/bin/sh\necho cannot >&2\nexit 3\n", 0o755)
    assert installed.facts().basis.runtime == Runtime(path=own, problem="status 3: cannot")
    installed.at(RUNC).unlink()
    assert installed.facts().basis.runtime == Runtime()
    installed.base.place("runc", "#!/bin/sh\necho runc version 1.1.5\n")
    assert installed.facts().basis.runtime == Runtime(path="/usr/bin/runc", said="runc version 1.1.5")


def test_the_folders_it_writes_to(machine: Machine) -> None:
    none = {path: Place() for path in (paths.STATE, paths.SCRATCH, paths.SOCKET_FOLDER)}
    assert machine.facts().basis.places == none
    machine.at(paths.SCRATCH).mkdir(parents=True)
    folder = Place(kind="folder")
    assert machine.facts().basis.places == {**none, paths.STATE: folder, paths.SCRATCH: folder}
    assert machine.listing(paths.STATE) == ["tmp"]
    machine.at(paths.STATE).rename(machine.at("/srv"))
    machine.at(paths.STATE).symlink_to("/srv")
    assert machine.facts().basis.places[paths.STATE] == Place(kind="folder", target="/srv")
    machine.at("/srv").rename(machine.at("/srv.away"))
    assert machine.facts().basis.places[paths.STATE] == Place(kind="link", target="/srv")
    machine.at(paths.STATE).unlink()
    machine.write(paths.STATE, "")
    assert machine.facts().basis.places[paths.STATE] == Place(kind="other")


def test_a_folder_that_is_read_only_or_full(machine: Machine) -> None:
    machine.at(paths.STATE).mkdir()
    machine.open(f"mount -t tmpfs -o ro tmpfs {paths.STATE}; {MOUNTED}")
    assert machine.facts().basis.places[paths.STATE].problem == "Read-only file system"
    full = (
        f"mount -t tmpfs -o size=4k tmpfs {paths.STATE}; head -c 4096 /dev/zero >{paths.STATE}/x; {MOUNTED}"
    )
    machine.open(full)
    place = machine.facts().basis.places[paths.STATE]
    assert (place.full, place.problem) == (True, "No space left on device")


def test_what_a_start_writes_to(machine: Machine) -> None:
    machine.at(paths.SOCKET_FOLDER).mkdir(parents=True)
    machine.write(paths.LOG, "")
    os.utime(machine.at(paths.LOG), (9, 9))
    places = machine.facts().basis.places
    assert places[paths.SOCKET_FOLDER] == Place(kind="folder")
    assert places[paths.LOG] == Place(kind="file")
    assert machine.at(paths.LOG).stat().st_mtime == 9
    machine.at(paths.LOG).unlink()
    machine.at(paths.LOG).mkdir()
    assert machine.facts().basis.places[paths.LOG] == Place(kind="file", problem="Is a directory")
    machine.open(f"mount -t tmpfs -o ro tmpfs {paths.SOCKET_FOLDER}; {MOUNTED}")
    assert machine.facts().basis.places[paths.SOCKET_FOLDER].problem == "Read-only file system"


def test_limits(machine: Machine) -> None:
    basis = machine.facts().basis
    assert basis.no_namespaces == ()
    assert basis.capabilities["self"] >> 21 & 1
    # The limits of a user namespace are its own.
    machine.open(f"echo 0 >/proc/sys/user/max_pid_namespaces; {MOUNTED}")
    assert machine.facts().basis.no_namespaces == ("pid",)
    one = "echo 1 >/proc/sys/user/max_uts_namespaces"
    machine.open(f"{one}; {MOUNTED}")
    assert not machine.facts().basis.namespaces_used_up
    machine.open(f"{one}; unshare -u sleep 30 </dev/null >/dev/null 2>&1 & {MOUNTED}")
    basis = machine.facts().basis
    assert (basis.no_namespaces, basis.namespaces_used_up) == ((), True)


def test_name_servers(machine: Machine) -> None:
    basis = machine.facts().basis
    assert (basis.resolvers, basis.no_resolvers) == ({}, "No such file or directory")
    machine.at(paths.RESOLVER).symlink_to("resolv.conf")
    basis = machine.facts().basis
    assert (basis.resolvers, basis.no_resolvers) == ({}, "Too many levels of symbolic links")
    machine.at(paths.RESOLVER).unlink()
    machine.write(paths.RESOLVER, "search lan\n")
    assert machine.facts().basis.resolvers == {paths.RESOLVER: ()}
    machine.write(paths.RESOLVER, "# x\nsearch lan\nnameserver 127.0.0.53\noptions edns0\n")
    machine.write(paths.RESOLVED, "nameserver 192.0.2.1\nnameserver ::1")
    assert machine.facts().basis.resolvers == {
        paths.RESOLVER: ("127.0.0.53",),
        paths.RESOLVED: ("192.0.2.1", "::1"),
    }


def test_where_the_command_line_is(machine: Machine) -> None:
    assert machine.facts().basis.command_line == ""
    for path in reversed(paths.COMMAND_LINES):
        machine.write(path, "x\n")
        assert machine.facts().basis.command_line == path


@WITHOUT_APPLETS
def test_a_daemon_of_somebody_elses_that_has_the_state(machine: Machine) -> None:
    """A process of that name that holds the lock; one that does not is in nobody's way."""
    machine.write(paths.LOCK, "")
    machine.at("/srv").mkdir()
    machine.write("/srv/buildkitd", machine.at(f"/usr/bin/{machine.shell}").read_bytes(), 0o755)
    wait = "read -r _ </srv/gate"
    run = "/srv/buildkitd -c"
    machine.space.run(f"mkfifo /srv/gate; {run} '{wait}; :' >/dev/null 2>&1 & ")
    try:
        assert machine.facts().basis.strangers == ()
        machine.space.run(f"{run} 'exec 7<>{paths.LOCK}; {wait}; :' >/dev/null 2>&1 & sleep 1")
        (found,) = machine.facts().basis.strangers
        assert (found.program, found.state, found.socket) == ("/srv/buildkitd", True, False)
    finally:
        # For reading, too: one of them may be gone, and then nobody would read.
        machine.space.run("exec 7<>/srv/gate; echo >&7; echo >&7; sleep 1")
    assert machine.facts().basis.strangers == ()


def test_certificates_are_read_and_keys_are_not(machine: Machine, tmp_path: Path) -> None:
    _, made = authority.make(tmp_path / "authority")
    tls = Tls(cert="/etc/tls/cert.pem", key="/etc/tls/key.pem", ca="/etc/tls/ca.pem")
    machine.write(tls.cert, made.certificate.read_bytes())
    machine.write(tls.key, made.key.read_bytes())
    os.utime(machine.at(tls.cert), (9, 9))
    basis = machine.facts(Spec(buildkit=Buildkit(tls=tls))).basis
    assert basis.certificates["/etc/tls/cert.pem"] == Certificate(
        modified=9, text=made.certificate.read_text()
    )
    assert basis.certificates["/etc/tls/key.pem"].text == ""
    assert basis.certificates["/etc/tls/ca.pem"] == Certificate(lost=True)
    assert basis.public_key == ""


@pytest.mark.parametrize("fits", [True, False])
def test_without_openssl_buildctl_tells_whether_a_key_fits(machine: Machine, fits: bool) -> None:
    """Its words, as it prints them: it reads the pair before it finds that nobody listens."""
    tls = Tls(cert="/etc/tls/a cert.pem", key="/etc/tls/a key.pem")
    for path in (tls.cert, tls.key):
        machine.write(path, "x")
    words = {
        True: "failed to list workers: Unavailable: connection error",
        False: "could not read certificate/key: tls: private key does not match public key",
    }
    asked = f"--tlscert {tls.cert} --tlskey {tls.key} debug workers"
    said = f'case "$# $*" in "10 "*" {asked}") echo "error: {words[fits]}" >&2 ;; esac; exit 1'
    machine.write(paths.CLIENT, f"#!/bin/sh\n{said}\n", 0o755)
    basis = machine.facts(Spec(buildkit=Buildkit(tls=tls))).basis
    assert basis.public_key == ("" if fits else "another")
