"""What `load` accepts is never refused later as configuration: rendering, planning and resolving take it as it is.

Documents are made from the rows of the settings: values that are right, values that are nearly right, values at the
edge of what a daemon or the kernel takes, and hostile ones.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from provision import health
from provision.buildkit import daemon, release
from provision.buildkit.digest import Digest, pinned
from provision.config.load import load
from provision.config.settings import SETTINGS
from provision.config.table import ANY
from provision.errors import ConfigError, HostError, UsageError
from provision.facts.question import question
from provision.plan.requirements import check_all
from provision.render import toml, toml_key
from provision.spec import DEFAULT_VERSION, LATEST, Config, Spec
from tests.unit.config.test_injection import HOSTILE, fitting, leaves
from tests.unit.config.test_settings import FULL
from tests.unit.recorded import RELEASE, facts, planned, target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

NUMBERS = (
    0,
    1,
    -1,
    2,
    22,
    500,
    501,
    4096,
    4097,
    65535,
    65536,
    86400,
    2**31,
    2**63 - 1,
    2**63,
    1.5,
    float("nan"),
)
SIZES = (
    *(
        "0",
        "0%",
        "1%",
        "30%",
        "100%",
        "101%",
        "5.5%",
        "10GB",
        "10gi",
        "0.5k",
        "1.5 TiB",
        "9000000T",
        "12b",
        "",
    ),
    *NUMBERS,
)
HOSTS = (
    "my_registry:5000",
    "fd00::1",
    "[fd00::1]:5000",
    "[::ffff:1.2.3.4]",
    "my_mirror",
    "docker.io",
    "a..b",
    "R:1",
)
# By the beginning of a row's place: values of its kind at the edge of what the daemon or the kernel takes.
EDGES: dict[str, tuple[object, ...]] = {
    "buildkit.version": (
        *(
            "v0.8.3",
            "v0.9.0",
            "v0.12.4",
            "v0.12.5",
            "v0.16.0",
            "v0.17.0",
            "v0.29.0",
            "v0.30.0",
            "v0.33.0-rc1",
        ),
        *(DEFAULT_VERSION, LATEST, "v0.99.0"),
    ),
    "buildkit.gc": SIZES,
    "buildkit.max_parallelism": NUMBERS,
    "buildkit.listen": (
        *("tcp://my_host:1234", "tcp://:1234", "tcp://127.0.0.1:1", "tcp://LOCALHOST:2", "tcp://[::1]:0"),
        *("tcp://[fe80::1%eth0]:1", "tcp://[::]:1", "tcp://127.1:3"),
    ),
    "buildkit.labels": (
        "org.mobyproject.buildkit.worker.hostname",
        "com.example.rack",
        "a/b",
        "x" * 129,
        ".a",
    ),
    "buildkit.group": ("Ops", "a.b", "x" * 31, "x" * 32, "_", "a$"),
    "buildkit.users": ("First.Last", "x" * 31, "x" * 32, "DOMAIN\\a", "_"),
    "buildkit.mirror": (
        *(
            "http://a..b/x",
            "HTTP://h",
            "http://h:0",
            "file:///srv/m",
            "ftp://h",
            "releases",
            "http://h/%zz",
            "~x/y",
        ),
        *("http://[::1]:8/x", "http://me:p%40@h/", f"http://{'x' * 64}/"),
    ),
    "buildkit.sha256": ("sha256:" + "ab" * 32, "AB" * 32, "ab" * 31, "e3b0c442" + "0" * 56, " " + "0" * 64),
    "registry": HOSTS,
    "hosts": (*HOSTS, "x" * 64, "gate,gate", "none"),
    "emulation.interpreters": (
        "packages",
        "/{qemu}",
        "send:/{qemu}",
        f"/{'x' * 113}{{qemu}}",
        f"/{'x' * 114}{{qemu}}",
    ),
}
FRAGMENTS = (*'_ - . .. : / [ ] % $ @ A 0 {qemu} # é \\ " tcp:// sha256: send:'.split(), " ", "\n", "x" * 64)


def samples() -> dict[str, object]:
    """A right value of each setting that the full example has, by the row's place."""
    found: dict[str, object] = {}
    for place, value in leaves(tomllib.loads(FULL)):
        for row in SETTINGS:
            parts = row.split(".")
            if len(parts) == len(place) and all(
                ours in (ANY, its) for ours, its in zip(parts, place, strict=True)
            ):
                found[row] = value
    return found


SAMPLES = samples()


@st.composite
def nearly(draw: st.DrawFn, right: str) -> str:
    """A right text with something put in, taken out, or in other letters."""
    at = draw(st.integers(0, len(right)))
    end = draw(st.sampled_from([at, at, at + 1, at + 3]))
    text = right[:at] + draw(st.sampled_from(("", *FRAGMENTS))) + right[end:]
    return draw(st.sampled_from([text, text, text.upper()]))


def edges(row: str) -> st.SearchStrategy[Any]:
    """What is of the setting's kind, and hostile text now and then."""
    near = [each for begin, some in EDGES.items() if row.startswith(begin) for each in some]
    return st.sampled_from([*near * 4, *HOSTILE])


def values(row: str, right: object) -> st.SearchStrategy[Any]:
    """Right, nearly right or wrong values of a setting."""
    if isinstance(right, list):
        each = st.one_of(edges(row), *(values(row, item) for item in right))
        return st.lists(each, max_size=3)
    if isinstance(right, bool):
        return st.booleans()
    if isinstance(right, str):
        return st.one_of(st.just(right), nearly(right), edges(row), edges(row))
    return st.sampled_from(NUMBERS) | edges(row)


RIGHT_NAMES = {"registry": "host:5000", "hosts": "pi1", "groups": "runners", "buildkit": "example.com/rack"}
"""A name where the user chooses one, by the first part of the row's place."""


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Some settings as the tables of a file: most are right, up to two may be anything."""
    made: dict[str, Any] = {}
    rows = draw(st.lists(st.sampled_from(list(SETTINGS)), min_size=1, max_size=5, unique=True))
    bold = set(rows[: draw(st.integers(1, 2))])
    if draw(st.integers(0, 3)) == 0:
        bold.add("buildkit.version")
        rows.append("buildkit.version")
    if any(row.startswith("buildkit.tls.") or row == "buildkit.listen" for row in rows):
        rows += ["buildkit.tls.cert", "buildkit.tls.key", "buildkit.tls.ca"]
    for row in dict.fromkeys(rows):
        table, name = made, RIGHT_NAMES.get(row.partition(".")[0], "")
        if row in bold and draw(st.booleans()):
            name = draw(values(row, name))
        *path, key = (name if part == ANY else part for part in row.split("."))
        for part in path:
            table = table.setdefault(part, {})
        right = SAMPLES.get(row)
        table[key] = draw(values(row, right)) if row in bold or right is None else right
    return made


def written(values: Mapping[str, Any]) -> str:
    """The document as TOML."""
    return "\n".join(
        f"{'.'.join(map(toml_key, place))} = {literal(value)}" for place, value in leaves(values)
    )


def literal(value: object) -> str:
    return str(value) if isinstance(value, float) else "{}" if value == {} else toml(value)


def specs(config: Config) -> Iterator[Spec]:
    """All that a run would be wanted for: the file's, and that of each host."""
    yield config.spec
    for host in config.inventory.hosts.values():
        yield config.spec_for(host)


def refused_later(config: Config) -> str:
    """What refuses an accepted configuration as one, on hosts of which nothing else is wrong; empty if nothing."""
    try:
        for spec in specs(config):
            carry_through(spec)
    except UsageError as error:
        return f"{type(error).__name__}: {error.message}"
    return ""


def carry_through(spec: Spec) -> None:
    """All that is made of a spec for a host before it is changed."""
    wanted = spec.buildkit
    newest = DEFAULT_VERSION if wanted.version == LATEST else release.wanted_version(wanted)
    tomllib.loads(daemon.render_config(wanted, newest, 0))
    daemon.render_unit(wanted, newest, "x")
    daemon.render_tmpfiles(wanted)
    question(spec)
    asset = replace(RELEASE.asset, version=newest)
    if asset.key in wanted.sha256 or asset.name in pinned():
        # Nobody has to be asked for the digest, so whatever is raised would be about the configuration.
        made = release.resolve(wanted, version=newest, machine="x86_64")
    else:
        made = replace(RELEASE, asset=asset, digest=Digest(value="ab" * 32, source="user"))
    check_all(target(facts("bare"), spec, made))
    health.find(spec, facts("provisioned"))
    for seen in (fitting(spec), facts("provisioned")):
        with suppress(HostError):  # it lacks an emulator: another host may have it
            planned(seen, spec, made)


@given(documents())
@settings(max_examples=250, deadline=None)
def test_what_load_accepts_is_never_refused_later_as_configuration(values: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "provision.toml"
        file.write_text(written(values), encoding="utf-8")
        try:
            config = load(file)
        except ConfigError:
            event("refused")
            return
    event("accepted")
    assert refused_later(config) == ""


@pytest.mark.parametrize("table", tomllib.loads(FULL))
def test_a_right_configuration_is_carried_through(table: str, tmp_path: Path) -> None:
    """So that the documents above are not all refused."""
    file = tmp_path / "provision.toml"
    file.write_text(written({table: tomllib.loads(FULL)[table]}), encoding="utf-8")
    assert refused_later(load(file)) == ""
