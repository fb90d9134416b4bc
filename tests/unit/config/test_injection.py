"""Hostile values are refused or quoted, never executed: every key of the configuration, every flag, every name.

The fields are the rows of the settings, so a new key is tried without a line here. What the grammar lets
through goes the whole way: `ssh -G`, the password command, and both scripts in a real sh. What the grammar
refuses is put into the templates all the same, past it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from jinja2 import meta

from provision import paths
from provision.apply import script
from provision.architectures import parse_platform
from provision.buildkit import daemon
from provision.config.load import load
from provision.config.settings import SETTINGS
from provision.config.table import ANY
from provision.errors import BecomeError, UsageError
from provision.facts import Disk, Facts
from provision.facts.interpreters import candidates, wanted_rows
from provision.facts.question import question
from provision.hosts.connect import Connector, _run_password_command, known_to_ssh
from provision.hosts.selection import parse_selection
from provision.plan.steps import Plan, Step, Variant
from provision.render import environment, quote, render, toml
from provision.services.process import START_LINE
from provision.spec import Config, Host, Spec
from provision.transport.ssh.config import resolve
from tests.unit.config.test_settings import FULL
from tests.unit.recorded import facts, planned
from tests.unit.typed import SETTINGS_FLAGS, flags

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

# "@" becomes a file that nothing may create.
HOSTILE = (
    "$(touch @)",
    "`touch @`",
    ";touch @;",
    "; touch @ #",
    "a\ntouch @\n",
    "'; touch @; '",
    '"; touch @; "',
    "'\"$(touch @)\"'",
    "|touch @",
    "&& touch @ &&",
    ">@",
    "\\\ntouch @\n",
    "-oProxyCommand=touch @",
    "--rsh=touch @",
    "-rf",
    "--",
    "{{ 7 * 7 }}",
    "%h;touch @",
    "../../../tmp",
    "*",
    "a\rb",
    "\x1b]0;title\x07",
    "\u202egnp",
    "a\0b",
    "\\x00:F\n:evil:E::x::@:F",
)

Place = tuple[str, ...]


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Exists as soon as something hostile was executed."""
    return tmp_path / "executed"


def armed(text: str, marker: Path) -> str:
    return text.replace("@", str(marker))


# The settings


def keys() -> list[Place]:
    """The place of every key: of each row, with the names that the full example has where a user chooses them."""
    full = tomllib.loads(FULL)
    return [tuple(place) for row in SETTINGS for place in places(row.split("."), full)]


def places(row: list[str], table: Mapping[str, Any]) -> Iterator[list[str]]:
    first, *rest = row
    for name in table if first == ANY else [first]:
        if not rest:
            yield [name]
        else:
            yield from ([name, *below] for below in places(rest, table.get(name, {})))


def chosen_names() -> list[Place]:
    """The place of every name in the full example that a user chose."""
    found = []
    for before in {row.partition(f".{ANY}")[0] for row in SETTINGS if ANY in row}:
        table = tomllib.loads(FULL)
        for part in before.split("."):
            table = table[part]
        found += [(*before.split("."), name) for name in table]
    return sorted(found)


KEYS, NAMES = keys(), chosen_names()


def test_the_places_are_those_of_every_setting() -> None:
    """Every value of the full example is at a place that was found, and so are keys that it does not have."""
    assert {place for place, value in leaves(tomllib.loads(FULL)) if value != {}} <= set(KEYS)
    assert {("ssh", "known_hosts"), ("buildkit", "gc", "minFreeSpace"), ("hosts", "ci2", "jump")} <= set(
        KEYS
    )
    assert {
        ("hosts", "pi1"),
        ("groups", "runners"),
        ("registry", "host:5000"),
        ("buildkit", "labels", "example.com/rack"),
    } <= set(NAMES)


def leaves(values: Mapping[str, Any], path: Place = ()) -> Iterator[tuple[Place, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def part(place: Place) -> dict[str, Any]:
    return {name: value for name, value in tomllib.loads(FULL).items() if name == place[0]}


def changed(place: Place, value: object) -> dict[str, Any]:
    """The place's part of the full example, with another value there."""
    values = part(place)
    table = values
    for key in place[:-1]:
        table = table.setdefault(key, {})
    table[place[-1]] = value
    return values


def renamed(place: Place, name: str) -> dict[str, Any]:
    """The place's part of the full example, with another name there."""
    values = part(place)
    table = values
    for key in place[:-1]:
        table = table[key]
    table[name] = table.pop(place[-1])
    return values


def variants(place: Place, hostile: str) -> Iterator[object]:
    """The hostile text alone, in a list, and behind or within a value that is right."""
    yield hostile
    yield [hostile]
    right = dict(leaves(tomllib.loads(FULL))).get(place)
    if isinstance(right, str):
        yield f"{right}{hostile}"
        yield f"{right[: len(right) // 2]}{hostile}{right[len(right) // 2 :]}"
    if isinstance(right, list):
        yield [f"{right[0]}{hostile}"]


def read(values: Mapping[str, Any], folder: Path) -> Config | None:
    """The configuration, through a real file; None if it is refused, in words that no terminal obeys."""
    file = folder / "provision.toml"
    lines = (
        f"{'.'.join(map(toml, place))} = {toml(value) if value != {} else '{}'}"
        for place, value in leaves(values)
    )
    file.write_text("\n".join(lines), encoding="utf-8")
    try:
        return load(file)
    except UsageError as error:
        told = f"{error.message}{error.cause}{error.hint}"
        assert not re.search("[\0-\x09\x0b-\x1f\x7f\u202e]", told), told
        return None


# What is let through


def use(config: Config, tried: set[str]) -> None:
    """Everything that is made of a configuration on the way to a host; `tried` says what is not new."""
    machine = Connector(config=config, ask_password=False, say=lambda _text: None)
    members = (parse_selection(f"@{group}", config.inventory) for group in config.inventory.groups)
    hosts = dict.fromkeys((*config.inventory.hosts.values(), *chain.from_iterable(members)))
    for host in hosts or (Host(name="pi1"),):
        if new(machine.target(host), machine.settings(), tried):
            reach(machine, host)
        command = config.sudo_password_command_for(host)
        if command and new(command, None, tried):
            try_password(command)
        if new(config.spec_for(host), None, tried):
            check_scripts(config.spec_for(host))


def new(one: object, other: object, tried: set[str]) -> bool:
    key = repr((one, other))
    if key in tried:
        return False
    tried.add(key)
    return True


def reach(machine: Connector, host: Host) -> None:
    known_to_ssh(host.address, None)
    with suppress(UsageError):  # an ssh_config that ssh cannot read
        resolve(machine.target(host), machine.settings())


def try_password(command: str) -> None:
    with suppress(BecomeError):
        _run_password_command(command)


def check_scripts(spec: Spec) -> None:
    """Both scripts in a real sh, and the daemon's files, each with just the lines that it should have."""
    version = spec.buildkit.version
    evaluate(script(planned(fitting(spec), spec), ()))
    ask(question(spec).script)
    tomllib.loads(daemon.render_config(spec.buildkit, version, 1 << 40))
    plain, hostile = (daemon.render_unit(each, version, "x") for each in (Spec().buildkit, spec.buildkit))
    assert keys_of(hostile) == keys_of(plain)
    plain, hostile = (daemon.render_tmpfiles(each) for each in (Spec().buildkit, spec.buildkit))
    assert hostile.count("\n") == plain.count("\n")


def fitting(spec: Spec) -> Facts:
    """A bare host with room for the limits of the example, and emulators wherever they are looked for."""
    bare = facts("bare")
    emulator = next(iter(facts("provisioned").interpreters.values()))
    places = [path for arch in wanted_rows(spec) for path in candidates(arch, spec, {})]
    return replace(
        bare,
        disks={place: Disk(size=1 << 30, free=1 << 29, inodes=9) for place in bare.disks},
        interpreters={path: replace(emulator, path=path) for path in places},
        tools=bare.tools | {"iptables"},
    )


def keys_of(unit: str) -> list[str]:
    return [line.partition("=")[0] for line in unit.splitlines()]


def evaluate(text: str) -> list[list[str]]:
    """The steps of an apply script as sh reads them, none carried out: each `run` only shows its words."""
    stub = 'run() { printf "%s\\n" "$#"; printf "%s\\0" "$@"; }\nrun_after() { shift; run "$@"; }\n'
    head, begin, tail = text.partition("\nexec 8<&0 </dev/null\n")
    # Nothing is carried out, so nothing is locked: the lock is this machine's own, and needs root.
    head, lock, _ = head.partition("\nlock ")
    assert begin, "the place before the steps is not where it was"
    assert lock, "the place of the lock is not where it was"
    rest = sh(f"{head}\n{stub}{begin}{tail}".replace('[ "$failures" -eq 0 ]', ""))
    found = []
    while rest:
        count, _, rest = rest.partition(b"\n")
        *words, rest = rest.split(b"\0", int(count))
        found.append([word.decode() for word in words])
    return found


def ask(text: str, parts: str = "interpreters\nfiles\nservice") -> bytes:
    """Those parts of the facts script that hold values of ours, in a real sh; they change nothing."""
    head, begin, _ = text.partition("\nsystem\nmounts\n")
    assert begin, "the end of the facts script is not where it was"
    return sh(f"{head}\n{parts}\n")


def sh(text: str) -> bytes:
    # The scripts change their standard input, so they cannot be read from it line by line.
    command = ["sh", "-c", 'eval "$(cat)"']
    done = subprocess.run(command, input=text.encode(), check=False, capture_output=True, timeout=60)
    # A quote that is not closed, or a word where sh wants none, shows here.
    assert b"syntax error" not in done.stderr.lower(), done.stderr
    assert b"unterminated" not in done.stderr.lower(), done.stderr
    return done.stdout


FREE = {
    *("labels", "example.com/rack"),  # text for people, in the daemon's TOML
    *("config", "known_hosts", "mirror"),  # files here, opened without a shell
    *("sudo_password_command", "passphrase_command"),  # run here, without a shell: the user's own words
    *("cert", "key", "ca"),  # paths on the host, in the daemon's TOML
}
"""Keys whose values may be more than a narrow word."""


def narrow(value: object) -> bool:
    """Whether it is a word that means nothing to any shell, and cannot be taken for an option."""
    if isinstance(value, list):
        return all(map(narrow, value))
    return re.fullmatch(r"[A-Za-z0-9_./@%:{}\[\]][A-Za-z0-9_./@%:{}\[\]+, -]*", str(value)) is not None


@pytest.mark.thorough
@pytest.mark.needs("ssh")
@pytest.mark.parametrize("place", KEYS, ids=".".join)
def test_no_value_of_the_configuration_is_executed(place: Place, tmp_path: Path, marker: Path) -> None:
    tried: set[str] = set()
    for text in HOSTILE:
        for value in variants(place, armed(text, marker)):
            config = read(changed(place, value), tmp_path)
            if config is not None:
                assert narrow(value) or place[-1] in FREE
                use(config, tried)
            assert not marker.exists(), value


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("place", NAMES, ids=".".join)
def test_no_name_of_the_configuration_is_executed(place: Place, tmp_path: Path, marker: Path) -> None:
    tried: set[str] = set()
    for text in HOSTILE:
        for name in (armed(text, marker), f"{place[-1]}{armed(text, marker)}"):
            config = read(renamed(place, name), tmp_path)
            if config is not None:
                assert narrow(name)
                use(config, tried)
            assert not marker.exists(), name


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("flag", SETTINGS_FLAGS)
def test_no_flag_is_executed(flag: str, marker: Path) -> None:
    tried: set[str] = set()
    for text in HOSTILE:
        for value in (armed(text, marker), f"linux/arm64,{armed(text, marker)}"):
            try:
                config = load(None, flags(**{flag: value}), places=())
            except UsageError:
                continue
            use(config, tried)
            assert not marker.exists(), value


@pytest.mark.needs("ssh")
def test_no_host_name_is_executed(marker: Path) -> None:
    accept = Connector(config=Config(), ask_password=False, say=lambda _text: None)
    for text in HOSTILE:
        bad = armed(text, marker)
        for word in (bad, f"ci{bad}", f"{bad}@host", f"host:{bad}", f"[{bad}]:22", f"@{bad}", f"all,!{bad}"):
            try:
                hosts = parse_selection(word, Config().inventory, lambda name: known_to_ssh(name, None))
            except UsageError:
                continue
            for host in hosts:
                # The selection's own separators may leave harmless words; nothing else gets through.
                assert re.fullmatch(r"[A-Za-z0-9_.:%-]+", host.address), word
                assert not host.address.startswith("-"), word
                reach(accept, host)
            assert not marker.exists(), word


def test_no_platform_is_executed(marker: Path) -> None:
    for text in HOSTILE:
        for word in (armed(text, marker), f"linux/arm64{armed(text, marker)}"):
            with pytest.raises(UsageError):
                parse_platform(word)


def test_the_password_command_is_no_shell_text(marker: Path) -> None:
    for text in HOSTILE:
        for command in (armed(text, marker), f"echo {armed(text, marker)}"):
            try_password(command)
            assert not marker.exists(), command


# Past the grammar: the templates quote whatever they are given


def steps(hostile: str) -> Iterator[Step]:
    """One of each kind, with the hostile text in every field that is text."""
    for kind in all_kinds(Step):
        hints = get_type_hints(kind)
        values: dict[str, Any] = {
            field.name: stuffed(field.name, hints[field.name], hostile) for field in dataclass_fields(kind)
        }
        yield kind(**values)


def all_kinds(base: type[Step]) -> Iterator[type[Step]]:
    for kind in base.__subclasses__():
        yield kind
        yield from all_kinds(kind)


OURS = {"qemu": "aarch64", "probe": r"\177", "trial_probe": r"\177", "file": Path("/dev/null")}
"""From the table of architectures, or from this machine: never from a user."""


def stuffed(name: str, hint: object, hostile: str) -> object:
    if name in OURS:
        return OURS[name]
    if hint == tuple[Variant, ...]:
        words = dict.fromkeys(("interpreter", "flags", "line", "standby", "trial"), hostile)
        return (Variant(**words),)
    if get_origin(hint) is Literal:
        return get_args(hint)[0]  # of ours: nobody else can choose another word
    kinds: dict[object, object] = {bool: False, int: 1, tuple[str, ...]: (hostile, hostile)}
    return kinds.get(hint, hostile)


@pytest.mark.parametrize("hostile", [text for text in HOSTILE if "\0" not in text])
def test_every_word_of_a_step_arrives_as_it_is(hostile: str, marker: Path) -> None:
    bad = armed(hostile, marker)
    made = tuple(steps(bad))
    shown = evaluate(script(Plan(steps=made), ()))
    assert not marker.exists()
    assert len(shown) == len(made)
    for words in shown:
        # A word may be a list of several, each whole.
        assert all("touch" not in word.replace(bad, "") for word in words)
    # All steps hold it somewhere, but for those that have no words at all.
    assert [words[3:] for words in shown if bad not in words] == [[]] * sum(
        bad not in words for words in shown
    )


def test_nul_is_refused_by_the_template() -> None:
    with pytest.raises(UsageError):
        script(Plan(steps=tuple(steps("a\0b"))), ())


def undeclared(template: str) -> set[str]:
    """The names of the values that a template and those that it includes are given."""
    source = environment().loader
    assert source is not None
    text, _, _ = source.get_source(environment(), template)
    tree = environment().parse(text)
    included = [name for name in meta.find_referenced_templates(tree) if name]
    return meta.find_undeclared_variables(tree).union(*map(undeclared, included))


@pytest.mark.parametrize("hostile", [text for text in HOSTILE if "\0" not in text])
def test_the_facts_script_quotes_all_it_is_given(hostile: str, marker: Path) -> None:
    bad = armed(hostile, marker)
    given = undeclared("probe.sh")
    # The paths are constants, plain words all (tests/unit/house/test_paths.py).
    ours: dict[str, object] = {
        "nonce": "00",
        "probes": [],
        "paths": paths,
        "disks": [f"/{bad}"],
        "wanted": [{"name": bad, "argc": 3, "candidates": [bad, bad]}],
        "packagers": [{"command": bad, "format": bad}],
        "registries": [{"name": bad, "pattern": bad, "url": bad, "options": [bad]}],
        "start_line": START_LINE,  # a constant
    }
    lists = {"tools", "interpreters", "files", "certificates", "users"}
    values = {name: ours.get(name, [bad, bad] if name in lists else bad) for name in given}
    asked = "system\nmounts\ninterpreters\npackage_managers\nfiles\nservice\nworkers"
    ask(render("probe.sh", **values), asked)
    assert not marker.exists()


@pytest.mark.parametrize("hostile", [text for text in HOSTILE if "\0" not in text])
def test_a_quoted_word_is_one_word_of_sh(hostile: str, marker: Path) -> None:
    bad = armed(hostile, marker)
    shown = sh(f"printf '%s\\0' {quote(bad)} {quote([bad, bad])}")
    assert shown == f"{bad}\0".encode() * 3
    assert not marker.exists()


def test_this_test_can_fail(marker: Path) -> None:
    """A value that is not quoted is executed by the same means that the tests above use."""
    sh(f"echo {armed('$(touch @)', marker)}")
    assert marker.exists()
