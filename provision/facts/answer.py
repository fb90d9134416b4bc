"""Reads the facts from what `templates/probe.sh` printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, cast

from provision import elf
from provision.architectures import of_qemu
from provision.binfmt import Entry, parse_entry
from provision.buildkit.workers import Workers, parse_workers
from provision.errors import HostError
from provision.facts import (
    LATE,
    Binfmt,
    ControlGroups,
    Daemon,
    DaemonMark,
    Disk,
    Facts,
    File,
    InitScript,
    Interpreter,
    LastRun,
    Mount,
    PackageAnswer,
    Previous,
    Probe,
    Proof,
    RegistryAnswer,
    Rule,
    Runc,
    System,
    Unit,
    User,
    basis,
)
from provision.facts.host_record import parse_record
from provision.facts.records import Record, number, records, words

Found = Mapping[str, tuple[Record, ...]]
_NOTHING = Record(kind="")


def parse(lines: Iterable[str], expected: Mapping[str, int]) -> Facts:
    """The facts in the output of the facts script.

    `expected` is the argument count each probe program was started with, by QEMU name.
    Raises HostError if the output is not complete.
    """
    found: dict[str, list[Record]] = {}
    for record in records(lines):
        found.setdefault(record.kind, []).append(record)
    if "end" not in found:
        raise HostError(
            "the host's answer is not complete",
            cause="its shell ended early, or a login script prints and exits",
            hint="log in by hand and run `sh -c true`: it must print nothing",
        )
    try:
        return _facts({kind: tuple(these) for kind, these in found.items()}, expected)
    except (ValueError, LookupError) as error:
        raise HostError(
            "the host's answer makes no sense",
            cause=f"A part of it cannot be read: {error}.",
            hint="Something there changes what programs print, or the host is not sound. Run again.",
        ) from error


def _facts(of: Found, expected: Mapping[str, int]) -> Facts:
    worker, worker_error = _worker(of)
    return Facts(
        system=_system(of),
        user=_user(of),
        tools=frozenset(r[0] for r in of.get("tool", ())),
        temporary={r[0]: r[1] == "exec" for r in of.get("temporary", ())},
        mounts=tuple(
            Mount(point=r[0], type=r[1], options=frozenset(words(r[2]))) for r in of.get("mount", ())
        ),
        trees={r[0]: r[1] for r in of.get("tree", ())},
        late_mounts=frozenset(r[0] for r in of.get("late-mount", ())),
        disks={
            r[0]: Disk(size=number(r[1]), free=number(r[2]), inodes=number(r[3]), all_inodes=number(r[4]))
            for r in of.get("disk", ())
        },
        binfmt=_binfmt(of),
        entries=_entries(of),
        rules=tuple(Rule(path=r[0], target=r[1], text=r.text) for r in of.get("rule", ())),
        interpreters=_interpreters(of),
        installed_packages=_installed(of.get("installed", ())),
        package_answers={r[0]: _package_answer(r) for r in of.get("install", ())},
        probes=_probes(of, expected),
        registries={
            r[0]: RegistryAnswer(curl=number(r[1]), status=number(r[2]), date=r[3], login=r[4], problem=r[5])
            for r in of.get("registry", ())
        },
        files=_files(of),
        accounts={r[0]: r[1] == "yes" for r in of.get("account", ())},
        groups={r[0]: words(r[1]) for r in of.get("group", ())},
        releases={r[0]: r[1] for r in of.get("release", ())},
        cached={r[0]: max(number(r[1]), 0) for r in of.get("cached", ())},
        units=_units(of.get("unit", ())),
        runc=next((Runc(path=r[0], version=r[1]) for r in of.get("runc", ())), None),
        init_scripts={
            r[0]: InitScript(
                state=r[1],
                runlevels=words(r[2], " "),
                refuses=r[3] == "refuses",
                restarts=number(r[4]),
            )
            for r in of.get("init-script", ())
        },
        mark=_mark(_one(of, "mark")),
        daemon=next(
            (
                Daemon(executable=r[0], generation=r[1], tmpdir=r[2], command=r[3].strip())
                for r in of.get("daemon", ())
            ),
            None,
        ),
        worker=worker,
        worker_error=worker_error,
        record=next((parse_record(r.text) for r in of.get("host-record", ())), None),
        leftovers=tuple(r[0] for r in of.get("leftover", ())),
        sizes={r[0]: number(r[1]) for r in of.get("size", ())},
        previous=_saved(of, "previous"),
        older=_saved(of, "older"),
        last_run=_last_run(_one(of, "run")),
        basis=basis.read(of),
        proof=Proof(generation=_one(of, "proof")[0], platforms=frozenset(words(_one(of, "proof")[1]))),
    )


_TREES: Final[Mapping[str, ControlGroups]] = {"1": "1", "2": "2", "partial": "partial", "none": "none"}


def _one(of: Found, kind: str) -> Record:
    return of.get(kind, (_NOTHING,))[0]


def _system(of: Found) -> System:
    kernel, release, memory = _one(of, "kernel"), _one(of, "os"), _one(of, "memory")
    return System(
        kernel=kernel[0],
        machine=kernel[1],
        distribution=release[0],
        version=release[1],
        pretty=release[2] or "unknown",
        like=words(release[3], " "),
        native=bytes.fromhex(_one(of, "native")[0]),
        page=number(_one(of, "page")[0]),
        memory=number(memory[0]),
        available=number(memory[1]),
        swap=number(memory[2]),
        cpus=number(_one(of, "cpus")[0]),
        boot=_one(of, "boot")[0],
        clock=number(_one(of, "clock")[0]),
        cgroup_memory=_cgroup_memory(_one(of, "cgroup")),
        control_groups=_TREES.get(_one(of, "control-groups")[0], ""),
        init=_one(of, "init")[0],
        systemd=_one(of, "systemd")[0] if "systemd" in of else None,
        openrc=_one(of, "openrc")[0] if "openrc" in of else None,
        container=_one(of, "container")[0],
        shared_table=_shared_table(of),
        contained=_contained(of),
        own_users=_one(of, "namespaces")[0] not in ("", _FIRST_USER),
        identity=_identity(of),
    )


def _identity(of: Found) -> str:
    """A machine id alone does not tell machines apart: clones of a disk have the same, and Alpine has none.

    Machines have different boot ids. The containers of one machine have different process ids or roots.
    """
    machine, boot, pid = _one(of, "machine"), _one(of, "boot")[0], _one(of, "namespaces")[1]
    return " ".join((machine[0], boot, pid, machine[1])) if boot and pid and machine[1] else ""


def _saved(of: Found, kind: str) -> Previous | None:
    saved = _one(of, kind)
    if not saved[0]:
        return None
    files = {
        r[0]: File(path=r[0], mode=number(r[1], 8), owner="root", group="root", text=r.text)
        for r in of.get(f"{kind}-file", ())
    }
    return Previous(generation=saved[0], version=saved[1], folder=saved[2], files=files)


def _last_run(record: Record) -> LastRun | None:
    if not record[0]:
        return None
    state = {"done": "done", "works": "killed"}.get(record[1], "changing")
    return LastRun(token=record[0], state=cast("Literal['done', 'killed', 'changing']", state))


# The first namespaces of a machine have fixed numbers: PROC_USER_INIT_INO and PROC_PID_INIT_INO in Linux.
_FIRST_USER: Final = "user:[4026531837]"
_FIRST_PID: Final = "pid:[4026531836]"


def _shared_table(of: Found) -> bool | None:
    """Since Linux 6.7 each user namespace may have a table of handlers of its own; before, no other than the first may
    write to one. So it is shared by a container in the first user namespace.
    """
    user, pid = _one(of, "namespaces")[0], _one(of, "namespaces")[1]
    named = bool(_one(of, "container")[0])
    if not (user and pid):
        return None if named else False
    return user == _FIRST_USER and (named or pid != _FIRST_PID)


def _contained(of: Found) -> bool:
    user, pid = _one(of, "namespaces")[0], _one(of, "namespaces")[1]
    named = bool(_one(of, "container")[0])
    return named or user not in ("", _FIRST_USER) or pid not in ("", _FIRST_PID)


def _cgroup_memory(record: Record) -> bool | None:
    """A container may have neither file, and its own cgroup may lack what the machine has."""
    if record[1]:
        return record[1] == "1"
    return "memory" in record[0].split() if record[0] else None


def _user(of: Found) -> User:
    user = _one(of, "user")
    return User(name=user[0], uid=number(user[1]), login=user[2], sudo=user[3])


def _binfmt(of: Found) -> Binfmt:
    state, trial = _one(of, "binfmt"), _one(of, "trial")
    return Binfmt(
        present=state[0] == "present",
        before=state[1] or "none",
        mounted=state[2] or "none",
        options=frozenset(words(state[3])),
        enabled=state[4] != "disabled",
        problem=state[5],
        fix_binary={"yes": True, "no": False}.get(trial[0]),
        trial_error=trial[1],
        loader_refuses="; ".join(f"{r[0]} ({r[1]})" for r in of.get("loader", ())),
        support=frozenset(r[0] for r in of.get("binfmts", ())),
        support_early="binfmts-order" in of,
        writable={"yes": True, "no": False}.get(_one(of, "binfmt-writable")[0]),
        module=_MODULES.get(_one(of, "binfmt-module")[0], ""),
        held={"yes": True, "no": False}.get(_one(of, "binfmt-held")[0]),
    )


_MODULES: Final[Mapping[str, Literal["there", "gone", "none"]]] = {
    "there": "there",
    "gone": "gone",
    "none": "none",
}


def _entries(of: Found) -> tuple[Entry, ...]:
    """No entries if something else is mounted there: its files are none."""
    if _one(of, "binfmt")[2] != "binfmt_misc":
        return ()
    return tuple(parse_entry(record[0], record.text) for record in of.get("entry", ()) if record.text)


def _interpreters(of: Found) -> Mapping[str, Interpreter]:
    heads = bytes.fromhex(_one(of, "heads").text.replace("\n", ""))
    seen, real = of.get("interpreter", ()), of.get("real", ())
    # A file may have vanished between the two commands: then it is not known which path belongs to which.
    places = {a[0]: b[0] for a, b in zip(seen, real, strict=True)} if len(seen) == len(real) else {}
    found = {}
    at = 0
    for record in seen:
        size = number(record[2])
        head = heads[at : at + min(size, elf.HEAD)]
        at += len(head)
        found[record[0]] = Interpreter(
            path=record[0],
            identity=record[1],
            size=size,
            mode=number(record[3], 8),
            header=elf.parse(head),
            real=places.get(record[0], ""),
        )
    return found


def _installed(found: tuple[Record, ...]) -> Mapping[str, tuple[str, ...]]:
    """A manager may have been asked twice, for one name and for another."""
    by_manager: dict[str, tuple[str, ...]] = {}
    for record in found:
        by_manager[record[0]] = (*by_manager.get(record[0], ()), *words(record[1], " "))
    return by_manager


def _package_answer(record: Record) -> PackageAnswer:
    return PackageAnswer(
        manager=record[0],
        status=None if record[1] == "unknown" else number(record[1]),
        packages=words(record[2], " "),
        text=record.text,
    )


def _probes(of: Found, expected: Mapping[str, int]) -> Mapping[str, Probe]:
    emulators = {record[0]: record for record in of.get("emulator", ())}
    natively = _natively(of)
    spent = {record[0]: number(record[1]) / 1e6 for record in of.get("spent", ())}
    found = {}
    for record in of.get("probe", ()):
        name = record[0]
        seen = emulators.get(name, _NOTHING)
        found[name] = Probe(
            expected=expected[name],
            status=LATE if record[1] == "late" else number(record[1]),
            executable=seen[1],
            held=seen[2],
            version=seen[4],
            natively=natively.get(name),
            milliseconds=spent.get(name),
            held_sha256=seen[5],
            current_sha256=seen[6],
        )
    return found


def _natively(of: Found) -> Mapping[str, bool]:
    """Program -> whether it runs without a handler. Left out if a handler takes even the marked program."""
    found = {record[0]: record[1] == "yes" for record in of.get("runs-natively", ())}
    entries = _entries(of)
    for record in of.get("runs-marked", ()):
        arch = of_qemu(record[0])
        header = elf.marked(elf.probe(arch)) if arch else b""
        if not any(entry.enabled and entry.matches(header) for entry in entries):
            found[record[0]] = record[1] == "yes"
    return found


def _files(of: Found) -> Mapping[str, File]:
    found = {r[0]: File(path=r[0], target=r[1]) for r in of.get("link", ())}
    for record in of.get("file", ()):
        text = record.text if record[4].startswith("regular") else None
        found[record[0]] = File(
            path=record[0],
            mode=number(record[1], 8),
            owner=record[2],
            group=record[3],
            text=text,
            modified=number(record[5]),
        )
    return found


def _units(found: tuple[Record, ...]) -> Mapping[str, Unit]:
    """By name. `systemctl show` separates units by an empty line, which arrives as a record without fields."""
    units: dict[str, Unit] = {}
    current: dict[str, str] = {}
    for record in (*found, _NOTHING):
        if record[0]:
            current[record[0]] = record[1]
        elif current:
            units[current.get("Id", "")] = _unit(current)
            current = {}
    return units


def _unit(properties: Mapping[str, str]) -> Unit:
    return Unit(
        load=properties.get("LoadState", ""),
        active=properties.get("ActiveState", ""),
        sub=properties.get("SubState", ""),
        file_state=properties.get("UnitFileState", ""),
        restarts=number(properties.get("NRestarts", "")),
        reload_due=properties.get("NeedDaemonReload") == "yes",
        path=properties.get("FragmentPath", ""),
        drop_ins=words(properties.get("DropInPaths", ""), " "),
    )


def _mark(record: Record) -> DaemonMark:
    state: Literal["running", "ended", "none"] = "none"
    if record[0]:
        state = "running" if record[0] == "running" else "ended"
    return DaemonMark(state=state, pid=number(record[1]), last_words=" / ".join(record.text.splitlines()))


def _worker(of: Found) -> tuple[Workers | None, str]:
    """The daemon's answer, or why there is none; neither if it was not asked."""
    record = _one(of, "workers")
    if record[0] == "error":
        return None, record.text.strip() or "buildctl failed and printed nothing"
    if record[0] != "ok":
        return None, ""
    try:
        return parse_workers(record.text), ""
    except HostError as error:
        return None, f"{error.message}: {error.cause}"
