"""What a host printed, as facts: each of them read once."""

from __future__ import annotations

import pytest

from provision import paths
from provision.errors import HostError
from provision.facts import Unit
from provision.facts.basis import Basis, Certificate, Damage, Place, Runtime, Stranger
from tests.unit.recorded import answered, facts, lines, read

BARE = facts("bare")


def with_records(*more: str) -> list[str]:
    return [*lines("bare")[:-1], *more, "end"]


def test_a_recorded_host() -> None:
    seen = facts("provisioned")
    assert seen.system.pretty.startswith("Debian")
    assert seen.system.architecture
    assert (seen.system.architecture.name, seen.system.userland_bits) == ("amd64", 64)
    assert seen.unit(paths.SERVICE) == Unit(
        load="loaded",
        active="active",
        sub="running",
        file_state="enabled",
        restarts=0,
        reload_due=False,
        path=paths.UNIT,
    )
    assert seen.worker
    assert "linux/arm64" in seen.worker.platforms
    assert (seen.worker.snapshotter, seen.worker_error) == ("overlayfs", "")


def test_units_come_in_any_order_of_their_properties() -> None:
    found = read(
        with_records(
            "unit\t",
            *("unit\tNeedDaemonReload\tyes", "unit\tNRestarts\t3", "unit\tId\tx.service", "unit\t"),
            *("unit\tId\ty.service", "unit\tLoadState\tmasked"),
        )
    )
    assert found.unit("x.service") == Unit(restarts=3, reload_due=True)
    assert (found.unit("y.service").load, found.unit("y.service").found) == ("masked", True)
    assert (found.unit("z.service"), found.unit("z.service").found) == (Unit(), False)
    assert not BARE.unit(paths.SERVICE).found


def test_what_the_daemon_stands_on() -> None:
    found = read(
        with_records(
            "damage\t/opt/a\tbuildkit-runc\tlost",
            "damage\t/opt/a\tbuildkitd\tchanged",
            "place\t/var/lib/buildkit\tlink\t/data\t",
            "place\t/var/lib/buildkit/tmp\tfolder\t\tRead-only file system",
            "place\t/var/log/buildkitd.log\tfile\t\tIs a directory",
            "runtime\t/usr/bin/runc\trunc version 1.1.5",
            "capabilities\tdaemon\t000001ffffffffff",
            "lock\tno",
            "stranger\t7\t/usr/bin/buildkitd\tbuildkitd.service\tstate socket",
            "no-namespaces\tpid",
            "namespaces-used-up",
            "no-control-group\t",
            "no-devices\t /dev/null /dev/tty",
            "resolvers\t/etc/resolv.conf\t 127.0.0.1 ::1",
            "no-resolvers\tToo many levels of symbolic links",
            "command-line\t/boot/cmdline.txt",
            "certificate\t/cert\t1780000000",
            "|-----BEGIN",
            "certificate\t/key\tlost",
            "public-key\tabc  -",
        )
    ).basis
    assert found == Basis(
        damage={
            "/opt/a": (Damage(program="buildkit-runc", lost=True), Damage(program="buildkitd", lost=False))
        },
        places={
            paths.STATE: Place(kind="link", target="/data"),
            paths.SCRATCH: Place(kind="folder", problem="Read-only file system"),
            paths.LOG: Place(kind="file", problem="Is a directory"),
        },
        runtime=Runtime(path="/usr/bin/runc", said="runc version 1.1.5"),
        capabilities={"daemon": (1 << 41) - 1},
        lock=False,
        strangers=(
            Stranger(pid=7, program="/usr/bin/buildkitd", unit="buildkitd.service", state=True, socket=True),
        ),
        no_namespaces=("pid",),
        namespaces_used_up=True,
        no_control_group="mkdir failed",
        no_devices=("/dev/null", "/dev/tty"),
        resolvers={paths.RESOLVER: ("127.0.0.1", "::1")},
        no_resolvers="Too many levels of symbolic links",
        command_line="/boot/cmdline.txt",
        certificates={
            "/cert": Certificate(modified=1780000000, text="-----BEGIN\n"),
            "/key": Certificate(lost=True),
        },
        public_key="abc",
    )
    assert BARE.basis == Basis()


@pytest.mark.parametrize(
    ("state", "text", "error"),
    [
        ("error", "context deadline exceeded\n", "context deadline exceeded"),
        ("error", "", "buildctl failed and printed nothing"),
        ("ok", "[", "the answer of buildctl debug workers cannot be read: JSONDecodeError: ["),
        ("ok", "[]", "the answer of buildctl debug workers cannot be read: IndexError: []"),
        ("ok", "", "the answer of buildctl debug workers cannot be read: JSONDecodeError: it is empty"),
        ("", "", ""),
    ],
)
def test_no_answer_of_the_daemon(state: str, text: str, error: str) -> None:
    """Nobody after this has to know whether it was silent or could not be read."""
    seen = answered(state, text)
    assert (seen.worker, seen.worker_error) == (None, error)
    assert (BARE.worker, BARE.worker_error) == (None, "")


def test_a_machine_that_does_not_say_what_its_programs_are() -> None:
    seen = read([line for line in lines("bare") if not line.startswith("native\t")])
    assert (seen.system.header, seen.system.architecture, seen.system.userland_bits) == (None, None, 64)


@pytest.mark.parametrize("lost", [1, 5])
def test_an_answer_that_is_cut_is_refused(lost: int) -> None:
    with pytest.raises(HostError, match="not complete"):
        read(lines("provisioned")[:-lost])


FIRST = "namespaces\tuser:[4026531837]\tpid:[4026531836]"


@pytest.mark.parametrize(
    ("more", "shared"),
    [
        ((FIRST,), False),
        ((FIRST, "container\tdocker"), True),  # --pid=host
        (("namespaces\tuser:[4026531837]\tpid:[4026532216]",), True),
        (("namespaces\tuser:[4026531837]\tpid:[4026532216]", "container\tpodman"), True),
        (("namespaces\tuser:[4026532209]\tpid:[4026532216]", "container\tlxc"), False),
        (("namespaces\t\t",), False),
        (("namespaces\t\t", "container\tlxc"), None),
        ((), False),
        (("container\tlxc",), None),
    ],
)
def test_whose_table_of_handlers_it_is(more: tuple[str, ...], shared: bool | None) -> None:
    assert read(with_records(*more)).system.shared_table is shared


@pytest.mark.parametrize(
    ("record", "tree"),
    [("2", "2"), ("1", "1"), ("partial", "partial"), ("none", "none"), ("3", ""), ("", "")],
)
def test_control_groups(record: str, tree: str) -> None:
    assert read(with_records(f"control-groups\t{record}")).system.control_groups == tree
