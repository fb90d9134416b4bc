"""`provision.toml` and flags to typed values: precedence, and every way to get it wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.config import document
from provision.config.load import load
from provision.config.settings import SETTINGS
from provision.config.table import Override, Problems, Table
from provision.errors import ConfigError
from provision.render import toml
from provision.spec import DEFAULT_VERSION, Buildkit, Config, Registry, Spec, Ssh, Tls
from tests.unit.typed import SETTINGS_FLAGS, flags

Write = Callable[[str], Path]

DIGEST = "0123456789abcdef" * 4
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

FULL = f"""
platforms = ["arm64", "linux/arm/v7", "x86_64", "aarch64"]
[emulation]
interpreters = "/opt/qemu/qemu-{{qemu}}"
credentials = true
[buildkit]
version = "0.31.2"
mirror = "https://mirror.example/buildkit/"
sha256 = {{ "linux-amd64" = "{DIGEST.upper()}" }}
group = "builders"
users = ["ci", "first.last"]
fetch = "controller"
allow_insecure_version = true
max_parallelism = 4
listen = ["tcp://0.0.0.0:1234", "tcp://[::1]:1234"]
network = "bridge"
[buildkit.labels]
"example.com/rack" = "r 7"
[buildkit.log]
level = "debug"
format = "json"
[buildkit.tls]
cert = "/etc/buildkit/cert.pem"
key = "/etc/buildkit/key.pem"
ca = "/etc/buildkit/ca.pem"
[buildkit.dns]
nameservers = ["1.1.1.1", "fd00::1"]
options = ["ndots:2", "edns0"]
searchDomains = ["example.com"]
[buildkit.gc]
reservedSpace = "10GB"
maxUsedSpace = "60%"
minFreeSpace = 1000
[registry."host:5000"]
http = true
mirrors = ["mirror:5000", "mirror.example/proxy/docker.io"]
ca = ["/etc/ssl/my.pem"]
[ssh]
connect_timeout = 5
jobs = 3
sudo_password_command = "pass show ci"
[hosts.pi1]
host = "10.0.0.5"
user = "ci"
port = 2222
jump = "me@gate:2200,[fe80::1%eth0]:22"
platforms = ["linux/arm64"]
interpreters = "packages"
sudo = false
sudo_password_command = "pass show pi1"
[hosts.ci2]
[groups]
runners = ["pi1", "ci2", "root@other.example:22"]
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str) -> Path:
        path = tmp_path / "provision.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return put


def problem(path: Path | None, **typed: object) -> str:
    """What is wrong, and what to do about it if there is one thing."""
    with pytest.raises(ConfigError) as caught:
        load(path, flags(**typed), places=())
    error = caught.value
    return error.message if error.hint == "Nothing was touched." else f"{error.message}. {error.hint}"


def test_without_a_file_the_defaults_hold() -> None:
    assert load(places=()) == Config()
    assert Buildkit().version == DEFAULT_VERSION


def test_every_key_arrives(write: Write) -> None:
    config = load(write(FULL))
    assert config.spec.platforms == ("linux/arm64", "linux/arm/v7", "linux/amd64")
    assert config.spec.emulation.interpreters == "/opt/qemu/qemu-{qemu}"
    assert config.spec.emulation.credentials
    buildkit = config.spec.buildkit
    assert (buildkit.version, buildkit.mirror) == ("v0.31.2", "https://mirror.example/buildkit")
    assert buildkit.sha256 == {"linux-amd64": DIGEST}
    assert (buildkit.group, buildkit.users, buildkit.fetch) == (
        "builders",
        ("ci", "first.last"),
        "controller",
    )
    assert (buildkit.allow_insecure_version, buildkit.max_parallelism) == (True, 4)
    assert buildkit.labels == {"example.com/rack": "r 7"}
    assert (buildkit.log.level, buildkit.log.format, buildkit.network) == ("debug", "json", "bridge")
    assert buildkit.listen == ("tcp://0.0.0.0:1234", "tcp://[::1]:1234")
    assert buildkit.tls == Tls(
        cert="/etc/buildkit/cert.pem", key="/etc/buildkit/key.pem", ca="/etc/buildkit/ca.pem"
    )
    assert buildkit.dns.nameservers == ("1.1.1.1", "fd00::1")
    assert (buildkit.dns.options, buildkit.dns.search_domains) == (("ndots:2", "edns0"), ("example.com",))
    assert buildkit.gc == {"reservedSpace": "10GB", "maxUsedSpace": "60%", "minFreeSpace": 1000}
    assert buildkit.registries == {
        "host:5000": Registry(
            http=True, mirrors=("mirror:5000", "mirror.example/proxy/docker.io"), ca=("/etc/ssl/my.pem",)
        )
    }
    assert config.ssh == Ssh(connect_timeout=5.0, jobs=3, sudo_password_command="pass show ci")
    pi1 = config.inventory.hosts["pi1"]
    assert (pi1.address, pi1.user, pi1.port, pi1.sudo) == ("10.0.0.5", "ci", 2222, False)
    assert pi1.jump == "me@gate:2200,[fe80::1%eth0]:22"
    assert list(config.inventory.hosts) == ["pi1", "ci2"]
    assert config.inventory.groups == {"runners": ("pi1", "ci2", "root@other.example:22")}


def test_flag_beats_host_beats_file_beats_default(write: Write) -> None:
    path = write(FULL)

    def of_pi1(**typed: object) -> tuple[Spec, str | None]:
        config = load(path, flags(**typed))
        host = config.inventory.hosts["pi1"]
        return config.spec_for(host), config.sudo_password_command_for(host)

    spec, command = of_pi1()
    assert (spec.platforms, spec.emulation.interpreters) == (("linux/arm64",), "packages")
    assert spec.emulation.credentials, "what the section does not say is as in the file"
    assert command == "pass show pi1"

    spec, command = of_pi1(
        platforms="s390x,386",
        interpreters="/q/{qemu}",
        buildkit_version="latest",
        sudo_password_command="get it",
    )
    assert spec.platforms == ("linux/s390x", "linux/386")
    assert (spec.emulation.interpreters, spec.buildkit.version, command) == ("/q/{qemu}", "latest", "get it")

    config = load(path)
    other = config.spec_for(config.inventory.hosts["ci2"])
    assert other.platforms == ("linux/arm64", "linux/arm/v7", "linux/amd64")
    assert config.sudo_password_command_for(config.inventory.hosts["ci2"]) == "pass show ci"


def test_a_flag_that_was_not_given_changes_nothing(write: Write) -> None:
    assert load(write(FULL), flags(**dict.fromkeys(SETTINGS_FLAGS))) == load(write(FULL))


def test_an_empty_flag_is_named_and_no_file(write: Write) -> None:
    wanted = "--platforms: is empty; leave it out to get every platform that QEMU runs"
    assert problem(None, platforms=",") == problem(write(FULL), platforms=",") == wanted


def test_numbers_of_flags_may_be_text() -> None:
    assert load(None, flags(timeout="2.5", jobs="20"), places=()).ssh == Ssh(timeout=2.5, jobs=20)
    assert problem(None, jobs="many") == "--jobs: must be a whole number from 1 to 500, not 'many'"


def test_a_flag_nobody_knows_is_a_defect_of_the_caller() -> None:
    with pytest.raises(TypeError, match="colour"):
        load(None, [Override(flag="--colour", setting="ssh.colour", value="red")], places=())


def test_the_first_place_that_exists_is_read(tmp_path: Path) -> None:
    places = (tmp_path / "one.toml", tmp_path / "two.toml")
    places[1].write_text('platforms = ["arm64"]')
    assert load(places=places).path == places[1]
    places[0].write_text('platforms = ["386"]')
    assert load(places=places).spec.platforms == ("linux/386",)
    assert load(places[1], places=places).spec.platforms == ("linux/arm64",)


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    assert "No such file" in str(load_error(tmp_path / "nowhere.toml").cause)
    assert "directory" in load_error(tmp_path).cause


def load_error(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value


def test_a_syntax_error_names_file_and_line(write: Write) -> None:
    path = write('platforms = ["arm64"]\n\n[buildkit\nversion = "v1.2.3"\n')
    assert load_error(path).message.startswith(f"{path}:3: ")
    assert load_error(write('[buildkit]\nversion = "v1')).message.startswith(f"{path}:2: ")
    path.write_bytes(b'a = 1\nb = "\xff"\n')
    assert load_error(path).message == f"{path}:2: not UTF-8"
    path.write_text("a = " + "[" * 5000)
    assert "nested too deeply" in load_error(path).message or ":1: " in load_error(path).message


def test_a_byte_order_mark_is_no_error(write: Write) -> None:
    assert load(write('\ufeffplatforms = ["arm64"]\r\n')).spec.platforms == ("linux/arm64",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[buildkit]\nverison = "v0.32.2"', '[buildkit] verison: unknown key. Did you mean "version"?'),
        (
            "[buildkit]\nmax-parallelism = 2",
            '[buildkit] max-parallelism: unknown key. Did you mean "max_parallelism"?',
        ),
        (
            "[buildkit.gc]\nreservedspace = 1",
            '[buildkit.gc] reservedspace: unknown key. Did you mean "reservedSpace"?',
        ),
        ('platform = ["arm64"]', 'platform: unknown key. Did you mean "platforms"?'),
        ("[host.pi1]", 'host: unknown key. Did you mean "hosts"?'),
        ("[hosts.pi1]\nprot = 22", '[hosts.pi1] prot: unknown key. Did you mean "port"?'),
        ('[registry."a:1"]\nmirror = []', '[registry."a:1"] mirror: unknown key. Did you mean "mirrors"?'),
        (
            "[buildkit.sha256]\nlinux-amd46 = 'x'",
            '[buildkit.sha256] linux-amd46: unknown key. Did you mean "linux-amd64"?',
        ),
        ("[emulation]\nzzz = 1", "[emulation] zzz: unknown key. Known are credentials, interpreters"),
        ("[buildkit]\nversion = 32", "[buildkit] version: must be text on one line, not the number 32"),
        (
            "[buildkit]\nversion = 2020-01-01",
            "[buildkit] version: must be text on one line, not a date or time",
        ),
        (
            "[buildkit]\nmax_parallelism = true",
            "[buildkit] max_parallelism: must be a whole number from 1 to 4096, not true",
        ),
        (
            "[buildkit]\nmax_parallelism = 0",
            "[buildkit] max_parallelism: must be a whole number from 1 to 4096, not the number 0",
        ),
        ('[emulation]\ncredentials = "yes"', "[emulation] credentials: must be true or false, not 'yes'"),
        ('platforms = "arm64"', "platforms: must be a list, not 'arm64'"),
        ("platforms = []", "platforms: is empty; leave it out to get every platform that QEMU runs"),
        ("buildkit = 1", "buildkit: must be a table, not the number 1"),
        ("[hosts]\npi1 = 1", "[hosts] pi1: must be a table, not the number 1"),
        (
            "[hosts.pi1]\nport = 70000",
            "[hosts.pi1] port: must be a whole number from 1 to 65535, not the number 70000",
        ),
        ("[hosts.all]", "[hosts] all: is a word of --hosts; choose another name"),
        (
            '[buildkit]\nfetch = "hots"',
            '[buildkit] fetch: must be one of "auto", "host", "controller", not \'hots\'',
        ),
        ("[buildkit.gc]\nminFreeSpace = '120%'", "[buildkit.gc] minFreeSpace: must be bytes as a number"),
        ("[buildkit.gc]\nminFreeSpace = -1", "[buildkit.gc] minFreeSpace: must be bytes as a number"),
        ("[buildkit.sha256]\nlinux-amd64 = 'abc'", "[buildkit.sha256] linux-amd64: must be a SHA-256"),
        (
            f"[buildkit.sha256]\nlinux-amd64 = '{EMPTY}'",
            "[buildkit.sha256] linux-amd64: is the digest of an empty file",
        ),
        ('[registry."a"]\nhttp = true\ninsecure = true', "[registry.a] insecure: excludes http"),
        (
            '[registry."a"]\nmirrors = ["http://b"]',
            "[registry.a] mirrors: must be HOST, HOST:PORT or HOST:PORT/PATH, without a scheme",
        ),
        ('[buildkit.tls]\ncert = "/c"', "[buildkit.tls] key: is missing"),
        ('[buildkit]\nlisten = ["tcp://0.0.0.0:1"]', "[buildkit] listen: tcp://0.0.0.0:1 would let anyone"),
        ('[buildkit]\nlisten = ["tcp://127.0.0.1"]', "[buildkit] listen: must be tcp://ADDRESS:PORT"),
        ('[buildkit]\nmirror = "ftp://x/y"', "[buildkit] mirror: must be an http:// or https:// URL"),
        ('[buildkit]\nversion = "1"', "[buildkit] version: '1' is not a BuildKit version"),
        (
            'platforms = ["linux/arm46"]',
            "platforms: unknown platform 'linux/arm46'. Did you mean linux/arm64?",
        ),
        ('[emulation]\ninterpreters = "qemu-{qemu}"', "[emulation] interpreters: must be an absolute path"),
        (
            '[emulation]\ninterpreters = "/usr/bin/qemu"',
            '[emulation] interpreters: must be "packages", or an absolute path',
        ),
        ('[emulation]\ninterpreters = "/{qemu}/{qemu}"', "[emulation] interpreters: must be"),
        ('[emulation]\ninterpreters = "/a/../{qemu}"', "[emulation] interpreters: must be"),
        ('[emulation]\ninterpreters = "/{name}/{qemu}"', "[emulation] interpreters: must be"),
        (f'[emulation]\ninterpreters = "/{"a" * 120}/{{qemu}}"', "[emulation] interpreters: is too long"),
        (
            '[ssh]\nsudo_password_command = "pass \'ci"',
            "[ssh] sudo_password_command: cannot be split into words",
        ),
        (
            '[groups]\nrunners = ["@others"]',
            "[groups] runners: holds the group '@others'; a group lists hosts",
        ),
        (
            '[ssh]\nknown_hosts = "~nobody-is-called-that/x"',
            "[ssh] known_hosts: names a home folder that is not there",
        ),
    ],
)
def test_one_problem_is_named_by_its_place(write: Write, text: str, said: str) -> None:
    path = write(text)
    message = problem(path)
    assert message.startswith(f"{path}: {said}"), message
    assert "\n" not in message


def test_a_version_is_judged_with_the_settings_it_is_wanted_with(write: Write) -> None:
    assert problem(None, buildkit_version="0.9.0").startswith("--buildkit-version: is refused")
    config = load(None, flags(buildkit_version="0.9.0", allow_insecure_version=True), places=())
    assert config.spec.buildkit.version == "v0.9.0"
    path = write('[buildkit.log]\nlevel = "debug"\n')
    assert load(path).spec.buildkit.log.level == "debug"
    assert problem(path, buildkit_version="v0.29.0").startswith(
        f"{path}: [buildkit.log] level: needs BuildKit v0.30.0 or newer, not v0.29.0"
    )
    # What the release host or the mirror offers is judged once it is known (release.wanted_version).
    assert load(path, flags(buildkit_version="latest")).spec.buildkit.version == "latest"


def test_a_number_that_python_does_not_read(write: Write) -> None:
    error = load_error(write(f"[ssh]\njobs = {'9' * 5000}\n"))
    assert "holds a value that cannot be read" in error.message
    assert "4300 digits" in error.cause
    assert problem(None, jobs="9" * 5000).startswith("--jobs: must be a whole number from 1 to 500")


def test_all_problems_are_named_at_once(write: Write) -> None:
    path = write('platform = 1\n[buildkit]\nverison = "x"\ngroup = 3\n[hosts.pi1]\nport = "22"\n')
    message = problem(path, mirror="ftp://x")
    assert message.startswith("5 problems in the configuration:\n")
    for place in ("platform:", "[buildkit] verison:", "[buildkit] group:", "[hosts.pi1] port:"):
        assert f"\n  {path}: {place}" in message
    assert "\n  --mirror: must be" in message


def test_listeners_beyond_loopback_need_tls_with_a_client_ca(write: Write) -> None:
    tls = '[buildkit.tls]\ncert = "/c"\nkey = "/k"\n'
    listen = '[buildkit]\nlisten = ["tcp://10.0.0.1:1"]\n'
    assert "anyone" in problem(write(listen))
    assert "anyone" in problem(write(listen + tls)), "without a CA every client is let in"
    assert load(write(listen + tls + 'ca = "/ca"\n')).spec.buildkit.listen == ("tcp://10.0.0.1:1",)
    for safe in ("tcp://127.0.0.1:1", "tcp://127.8.0.1:1", "tcp://[::1]:1", "tcp://localhost:1"):
        assert load(write(f'[buildkit]\nlisten = ["{safe}"]\n')).spec.buildkit.listen == (safe,)


def test_relative_paths_start_where_they_were_written(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write('[buildkit]\nmirror = "releases"\n[ssh]\nknown_hosts = "known"\n')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    config = load(path)
    assert config.spec.buildkit.mirror == str(tmp_path / "releases")
    assert config.ssh.known_hosts == str(tmp_path / "known")
    assert load(path, flags(mirror="mine")).spec.buildkit.mirror == str(elsewhere / "mine")
    assert load(path, flags(mirror="file:///srv/m")).spec.buildkit.mirror == "/srv/m"


HOSTILE = [
    "",
    " ",
    "-oProxyCommand=id",
    "--",
    "a b",
    "a;id",
    "a\nb",
    "a\x00b",
    "a\x1b[31mb",
    "$(id)",
    "`id`",
    "a'b",
    'a"b',
    "a\\b",
    "a|b",
    "a&b",
    "a>b",
    "*",
    "ä",
    "a\u202eb",
    "{qemu}",
    "%n",
]
# Where each value goes, and what stands around it in a value that would be good but for it.
FIELDS: dict[str, tuple[str, str]] = {
    "group": ("[buildkit]\ngroup = {}", "{}"),
    "user": ("[buildkit]\nusers = [{}]", "{}"),
    "login": ("[hosts.x]\nuser = {}", "{}"),
    "address": ("[hosts.x]\nhost = {}", "{}"),
    "jump": ("[hosts.x]\njump = {}", "gate,{}"),
    "host name": ("[hosts.{}]", "{}"),
    "group of hosts": ("[groups]\n{} = []", "{}"),
    "member": ("[groups]\nx = [{}]", "{}"),
    "registry": ("[registry.{}]", "{}"),
    "registry mirror": ("[registry.x]\nmirrors = [{}]", "{}"),
    "label": ("[buildkit.labels]\n{} = 'x'", "{}"),
    "nameserver": ("[buildkit.dns]\nnameservers = [{}]", "{}"),
    "search domain": ("[buildkit.dns]\nsearchDomains = [{}]", "{}"),
    "resolver option": ("[buildkit.dns]\noptions = [{}]", "{}"),
    "listener": ("[buildkit]\nlisten = [{}]", "tcp://{}:1"),
    "version": ("[buildkit]\nversion = {}", "v0.32.2{}"),
    "platform": ("platforms = [{}]", "linux/{}"),
    "level": ("[buildkit.log]\nlevel = {}", "{}"),
}


@pytest.mark.parametrize(
    ("field", "value"),
    # Blanks around a version or a platform do no harm.
    [
        (f, v)
        for f in FIELDS
        for v in HOSTILE
        if v.strip() or f not in ("version", "platform", "jump", "listener")
    ],
    ids=repr,
)
def test_hostile_values_are_refused(write: Write, field: str, value: str) -> None:
    text, around = FIELDS[field]
    message = problem(write(text.replace("{}", toml(around.replace("{}", value)))))
    assert message.replace("\n  ", "").isprintable(), "the message must not carry the attack to the terminal"


@pytest.mark.parametrize(
    "value", [v for v in HOSTILE if v not in ("{qemu}", "%n", "-oProxyCommand=id", "--")], ids=repr
)
def test_hostile_paths_are_refused(write: Write, value: str) -> None:
    if value.strip():
        problem(write(f"[emulation]\ninterpreters = {toml('/opt/' + value + '/{qemu}')}"))
    if value.strip() and value != "a b":
        problem(write(f"[buildkit.tls]\nkey = '/k'\ncert = {toml('/etc/' + value)}"))
        problem(write(f"[registry.x]\nca = [{toml('/etc/' + value)}]"))
    problem(write(f"[registry.x]\nca = [{toml(value)}]"))


@pytest.mark.parametrize(
    "value",
    [
        "$(id)",
        "`id`",
        "-x",
        "--mirror",
        "a\nb",
        "a\x1bb",
        "http://a b/",
        "http://`id`/",
        "http://",
        "http://a/?b",
    ],
)
def test_hostile_mirrors_are_refused(value: str) -> None:
    assert problem(None, mirror=value).isprintable()


@pytest.mark.parametrize(
    "value",
    [
        "https://ci:s3cret@mirror.example/x?y",
        "ftp://ci:s3cret@h",
        "https://ci:s3/s3cret@h",
        "https://ci:s3cret@h\n",
    ],
)
def test_a_login_in_a_refused_mirror_is_not_shown(value: str) -> None:
    said = problem(None, mirror=value)
    assert "://***@" in said
    assert "s3" not in said


@pytest.mark.parametrize("value", ["a\nb", "'", '"', "$HOME", "`id`", "\\", "\x07", "x" * 300])
def test_hostile_label_values_are_refused(write: Write, value: str) -> None:
    problem(write(f"[buildkit.labels]\nrack = {toml(value)}"))


SAFE = re.compile(r"[A-Za-z0-9._:/@,%\[\]-]+")


def read(values: dict[str, Any]) -> list[str]:
    """The texts that come out of a document, or none if it is refused."""
    problems = Problems(file=None)
    with Table(values, rows=SETTINGS, problems=problems) as root:
        spec, inventory = document.spec(root), document.inventory(root)
    if problems.found:
        return []
    out = [spec.buildkit.group, *spec.buildkit.users, *spec.buildkit.registries, *spec.buildkit.labels]
    for host in inventory.hosts.values():
        out += [host.name, host.address, host.user or "x", host.jump or "x"]
    return [*out, *(member for group in inventory.groups.values() for member in group)]


@given(st.text(max_size=12) | st.from_regex(r"[-a-zA-Z0-9.@:\[\]_$` ]{1,12}", fullmatch=True))
def test_whatever_is_accepted_is_plain(text: str) -> None:
    documents: tuple[dict[str, Any], ...] = (
        {"buildkit": {"group": text}},
        {"buildkit": {"users": [text]}},
        {"buildkit": {"labels": {text: "x"}}},
        {"registry": {text: {}}},
        {"hosts": {text: {}}},
        {"hosts": {"x": {"host": text}}},
        {"hosts": {"x": {"user": text}}},
        {"hosts": {"x": {"jump": text}}},
        {"groups": {"x": [text]}},
    )
    for value in (value for each in documents for value in read(each)):
        assert SAFE.fullmatch(value)
        assert not value.startswith("-")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["platforms", "emulation", "buildkit", "hosts", "groups", "registry", "gc", "tls", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_no_document_crashes_the_reader(value: object) -> None:
    with Table(
        {"platforms": value, "buildkit": value, "hosts": value, "groups": value, "registry": value},
        rows=SETTINGS,
        problems=Problems(file=None),
    ) as root:
        document.spec(root)
        document.ssh(root)
        document.inventory(root)
