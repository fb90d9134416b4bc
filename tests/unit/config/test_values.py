"""The reader of each kind of value: what the daemon, systemd and the distributions take, and nothing else."""

from __future__ import annotations

import hashlib

import pytest

from provision.config import names, values
from provision.config.settings import SETTINGS

SUM = hashlib.sha256(b"archive").hexdigest()


@pytest.mark.parametrize("spelling", [SUM, SUM.upper(), f"sha256:{SUM}", f"SHA256:{SUM}", f" {SUM}\n"])
def test_a_digest_in_every_spelling(spelling: str) -> None:
    assert values.digest(spelling) == SUM


@pytest.mark.parametrize(
    "value", ["", "abc", "g" * 64, "0" * 63, "0" * 65, f"md5:{SUM}", f"sha256:{SUM}0", 1]
)
def test_a_digest_that_is_none(value: object) -> None:
    with pytest.raises(ValueError, match="must be a SHA-256"):
        values.digest(value)


def test_the_digest_of_an_empty_file() -> None:
    for prefix in ("", "sha256:"):
        with pytest.raises(ValueError, match="empty file"):
            values.digest(prefix + hashlib.sha256().hexdigest())


REGISTRIES = ["docker.io", "r", "host:5000", "R.Example:443", "[fd00::1]:5000", "[::1]", "10.0.0.1:5000"]
NOT_REGISTRIES = [
    *["", "http://r", "r/path", "r:", "r:0", "r:65536", "a..b", "-r", "r\n", 'r"', "r]", "[x]", "r:5000/"],
    # distribution/reference has no underscore, no bare IPv6 address and no IPv4 one within brackets.
    *["my_registry:5000", "fd00::1", "[::ffff:10.0.0.1]:5000", "[10.0.0.1]:5000", "[::1%eth0]:5000"],
    *["[:::1]", "r:٣", "r.", ".r", "x" * 64, "a b", 5],
]


@pytest.mark.parametrize("host", REGISTRIES)
def test_a_registry(host: str) -> None:
    assert names.registry(host) == host
    assert names.registry_mirror(host) == host
    assert names.registry_mirror(f"{host}/proxy/docker.io") == f"{host}/proxy/docker.io"


@pytest.mark.parametrize("host", NOT_REGISTRIES)
def test_not_a_registry(host: object) -> None:
    with pytest.raises(ValueError, match="must be HOST or HOST:PORT"):
        names.registry(host)


@pytest.mark.parametrize(
    "mirror",
    ["http://m", "", "m:x", "m/p ath", "my_mirror", "fd00::1", "m/", "m//p", "m/../x", "m/$x", "/m", 5],
)
def test_not_a_mirror_of_a_registry(mirror: object) -> None:
    with pytest.raises(ValueError, match="without a scheme"):
        names.registry_mirror(mirror)


@pytest.mark.parametrize("name", ["a", "com.example.rack", "example.com/rack", "a_b-c", "x" * 128])
def test_a_labels_name(name: str) -> None:
    assert names.label_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", ".a", "a.", "a\n", "ä", "x" * 129])
def test_not_a_labels_name(name: str) -> None:
    with pytest.raises(ValueError, match="a label's name"):
        names.label_name(name)


def test_the_daemons_own_labels_are_its_own() -> None:
    with pytest.raises(ValueError, match="is set by the daemon itself"):
        names.label_name("org.mobyproject.buildkit.worker.network")
    assert names.label_name("org.mobyproject.buildkit.workers")


GROUPS = ["buildkit", "ci", "_ci", "a-b_c", "x" * 31]
NOT_GROUPS = ["", "a b", "-x", "g;id", "%h", "$x", "a\n", "1", "x" * 32, "x" * 33, "Ops", "a.b", 1]


@pytest.mark.parametrize("group", GROUPS)
def test_a_group(group: str) -> None:
    assert names.group(group) == group
    assert names.user(group) == group


@pytest.mark.parametrize("group", NOT_GROUPS)
def test_not_a_group(group: object) -> None:
    with pytest.raises(ValueError, match="must be a group name"):
        names.group(group)


def test_a_user_exists_so_more_names_are_in_use() -> None:
    assert [names.user(name) for name in ("First.Last", "Ops", "x" * 31)] == ["First.Last", "Ops", "x" * 31]
    for name in ("", "x" * 32, "a b", "-x", "1a", "a$", "DOMAIN\\user", ".a"):
        with pytest.raises(ValueError, match="must be a user name"):
            names.user(name)


LOOPBACK = ["tcp://127.0.0.1:1234", "tcp://localhost:1", "tcp://[::1]:65535", "tcp://127.8.9.1:80"]
BEYOND = [
    "tcp://0.0.0.0:1234",
    "tcp://[::]:1234",
    "tcp://192.168.0.5:1234",
    "tcp://build.example:1234",
    "tcp://127.1:1234",
    "tcp://localhost.example:1234",
]
NOT_LISTENERS = [
    "",
    "127.0.0.1:1234",
    "unix:///run/x.sock",
    "tcp://127.0.0.1",
    "tcp://127.0.0.1:0",
    "tcp://127.0.0.1:70000",
    "tcp://127.0.0.1:1\nUser=x",
    "tcp://127.0.0.1:1 --debug",
    "tcp://%h:1",
    "tcp://$HOST:1",
    "tcp://:1234",
    "tcp://my_host:1234",
    "tcp://fd00::1:1234",
    "tcp://[fe80::1%eth0]:1234",
    "TCP://127.0.0.1:1",
    5,
]


@pytest.mark.parametrize("address", [*LOOPBACK, *BEYOND])
def test_a_listener(address: str) -> None:
    assert names.listener(address) == address


@pytest.mark.parametrize("address", NOT_LISTENERS)
def test_not_a_listener(address: object) -> None:
    with pytest.raises(ValueError, match="must be tcp://ADDRESS:PORT"):
        names.listener(address)


@pytest.mark.parametrize("address", [*LOOPBACK, *BEYOND])
def test_which_of_them_only_this_machine_reaches(address: str) -> None:
    host, _ = names.host_port(address.removeprefix("tcp://"))
    assert names.is_loopback(host) == (address in LOOPBACK)


@pytest.mark.parametrize(
    ("mirror", "read"),
    [
        ("https://mirror.example/buildkit/", "https://mirror.example/buildkit"),
        ("HTTP://me:p%40ss@mirror:8080/x", "HTTP://me:p%40ss@mirror:8080/x"),
        ("http://[fd00::1]:8080/x", "http://[fd00::1]:8080/x"),
        ("http://my_mirror/x", "http://my_mirror/x"),
        ("/srv/mirror", "/srv/mirror"),
        ("file:///srv/mirror", "/srv/mirror"),
        ("mirror", "mirror"),
        ("~/mirror", "~/mirror"),
    ],
)
def test_a_mirror(mirror: str, read: str) -> None:
    assert names.mirror(mirror) == read


@pytest.mark.parametrize(
    "mirror",
    [
        "ftp://mirror/buildkit",
        "s3://bucket",
        "http://",
        "https://mirror:port/x",
        "https://mirror:0/x",
        "https://mirror/x?token=1",
        "https://mirror/x#y",
        "https://mirror/a b",
        "http://mirror/x\r\nHost: y",
        "https://mirrör/",
        # What Python's resolver would end with UnicodeError for.
        "http://a..b/x",
        f"http://{'x' * 64}/x",
        "http://[::1/x",
        "http://[x]/",
        "file://other/srv",
        "",
        5,
    ],
)
def test_what_is_no_mirror(mirror: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        names.mirror(mirror)


@pytest.mark.parametrize("steps", [0, -1, True, 4097, 1.0, "2"])
def test_not_a_number_of_steps(steps: object) -> None:
    with pytest.raises(ValueError, match="must be a whole number from 1 to 4096"):
        SETTINGS["buildkit.max_parallelism"].read(steps)


@pytest.mark.parametrize(
    "place", ["registry.*.ca", "buildkit.tls.cert", "buildkit.tls.key", "buildkit.tls.ca"]
)
def test_not_absolute(place: str) -> None:
    value: object = ["ca.pem"] if place.endswith(".*.ca") else "ca.pem"
    with pytest.raises(ValueError, match="must be an absolute path"):
        SETTINGS[place].read(value)


@pytest.mark.parametrize("name", ["a..b", "x" * 64, f"a.{'x' * 64}", ".a", "a."])
def test_a_host_that_no_resolver_takes(name: str) -> None:
    for read in (names.host, names.host_port, names.jump):
        with pytest.raises(ValueError, match="must be"):
            read(name)
