"""What `fab -H`, or a program with a Fabric Connection, gives a task."""

from __future__ import annotations

import getpass
import subprocess
import sys
from io import StringIO
from pathlib import Path

import fabric
import pytest
from paramiko.config import SSHConfig

from provision.cli.fabric import FromFabric, of_fabric
from provision.errors import UsageError
from provision.spec import Host
from tests.lab.checkout import ROOT
from tests.lab.cli import FAB, environment


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def fabric_connection(host: str, ssh_config: str = "", **more: object) -> fabric.Connection:
    """Of a user with this ~/.ssh/config."""
    file = Path.home() / ".ssh" / "config"
    file.parent.mkdir(exist_ok=True)
    file.write_text(ssh_config)
    return fabric.Connection(host, config=fabric.Config(), **more)


# carol: a user who is not the one that runs the tests, whose name is left out as Fabric's own default.
@pytest.mark.parametrize(
    "typed",
    ["pi1", "carol@10.0.0.5:2222", "carol@pi1", "pi1:2222", "10.0.0.5", "::1", "deploy@other.example"],
)
def test_what_fab_was_given_is_what_is_selected(typed: str) -> None:
    found = of_fabric(fabric_connection(typed))
    assert found is not None
    assert (found.selection, found.jump, found.identities) == (typed, None, ())


def test_an_address_with_a_port_keeps_its_brackets() -> None:
    found = of_fabric(fabric_connection("fe80::1", port=2222, user="carol"))
    assert found is not None
    assert found.selection == "carol@[fe80::1]:2222"


def test_what_the_ssh_configuration_says_is_left_to_our_own_reading_of_it() -> None:
    """Fabric's parser knows no Include, so its `user` may be the wrong one."""
    connection = fabric_connection("pi1", "Host pi1\n  HostName 10.0.0.5\n  User deploy\n  Port 2200\n")
    assert (connection.host, connection.user, connection.port) == ("10.0.0.5", "deploy", 2200)
    found = of_fabric(connection)
    assert found is not None
    assert found.selection == "pi1"


def test_keys_and_gateway_of_a_connection_are_used() -> None:
    keys = {"key_filename": ["/keys/a", "/keys/b"]}
    connection = fabric_connection("pi1", connect_kwargs=keys, gateway=fabric.Connection("me@gate:2200"))
    found = of_fabric(connection)
    assert found is not None
    assert found.identities == (Path("/keys/a"), Path("/keys/b"))
    assert found.through(Host(name="pi1")).jump == "me@gate:2200"
    single = of_fabric(fabric_connection("pi1", connect_kwargs={"key_filename": "/keys/a"}))
    assert single is not None
    assert single.identities == (Path("/keys/a"),)


def test_a_plain_context_is_this_machine() -> None:
    from invoke.context import Context  # noqa: PLC0415

    assert of_fabric(Context()) is None


# What a Connection brings is used or refused, never dropped.


def brought(host: str = "pi1", ssh_config: str = "", **more: object) -> FromFabric:
    found = of_fabric(fabric_connection(host, ssh_config, **more))
    assert found is not None
    return found


def test_a_user_of_fabrics_own_settings_counts() -> None:
    config = fabric.Config(overrides={"user": "deploy", "port": 2222})
    found = of_fabric(fabric.Connection("pi1", config=config))
    assert found is not None
    assert found.selection == "deploy@pi1:2222"


def test_a_login_of_ones_own_name_that_fab_was_given_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    me = getpass.getuser()
    assert brought(f"{me}@pi1").selection == "pi1"
    for words in (
        ["-H", f"a,{me}@pi1"],
        [f"-H{me}@pi1"],
        [f"--hosts={me}@pi1"],
        ["--hosts", f"{me}@pi1:2222,b"],
    ):
        monkeypatch.setattr(sys, "argv", ["/usr/bin/fab", *words, "check"])
        assert brought(f"{me}@pi1").selection == f"{me}@pi1"
        assert brought("pi2").selection == "pi2"


def test_the_ssh_configuration_of_fab_is_ours(tmp_path: Path) -> None:
    file = tmp_path / "prod"
    file.write_text("Host prod.db\n  HostName 10.0.0.9\n")
    found = of_fabric(fabric.Connection("prod.db", config=fabric.Config(runtime_ssh_path=str(file))))
    assert found is not None
    assert (found.selection, found.options) == ("prod.db", {"ssh_config": str(file)})


@pytest.mark.parametrize("more", [{"connect_timeout": 7}, {"connect_kwargs": {"timeout": 7}}], ids=str)
def test_a_time_limit_is_ours(more: dict[str, object]) -> None:
    assert brought(**more).options == {"connect_timeout": "7"}  # type: ignore[arg-type]
    assert brought(ssh_config="Host pi1\n  ConnectTimeout 9\n").options == {}


def test_all_gateways_are_used_nearest_first() -> None:
    outer = fabric.Connection("me@outer:2200")
    inner = fabric.Connection("inner", gateway=outer)
    assert brought(gateway=inner).jump == "me@outer:2200,inner"
    assert brought(gateway=fabric.Connection("::1", user="me", port=2200)).jump == "me@[::1]:2200"
    assert brought(gateway=fabric.Connection("fe80::1")).jump == "[fe80::1]"


def test_gateways_of_the_ssh_configuration_are_left_to_our_own_reading_of_it() -> None:
    for line in ("ProxyJump me@a:22,b", "ProxyCommand nc %h %p"):
        assert brought(ssh_config=f"Host pi1\n  {line}\n").jump is None
    assert (
        brought(ssh_config="Host pi1\n  ProxyJump a\n", gateway=fabric.Connection("other")).jump == "other"
    )
    assert brought(ssh_config="Host pi1\n  ProxyJump a\n", gateway=False).jump == "none"
    assert brought(gateway=False).jump is None
    assert brought(ssh_config="Host pi1\n  IdentityFile /k\n").identities == ()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"gateway": "nc -X 5 %h %p"}, "a gateway that is a command cannot be used"),
        ({"connect_kwargs": {"password": "geheim"}}, "has password, which"),
        ({"connect_kwargs": {"passphrase": "geheim"}}, "has passphrase, which"),
        ({"connect_kwargs": {"pkey": "a key"}}, "has pkey, which"),
        ({"connect_kwargs": {"allow_agent": False}}, "has allow_agent=False, which"),
        ({"connect_kwargs": {"look_for_keys": False}}, "has look_for_keys=False, which"),
        ({"connect_kwargs": {"disabled_algorithms": {"keys": ["x"]}}}, "has disabled_algorithms, which"),
        ({"gateway": ("key_filename", "/k")}, "the Connection to gate has key_filename, which"),
        ({"gateway": ("password", "geheim")}, "the Connection to gate has password, which"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused(more: dict[str, object], words: str) -> None:
    if isinstance(pair := more.get("gateway"), tuple):
        more = {"gateway": fabric.Connection("gate", connect_kwargs=dict([pair]))}
    with pytest.raises(UsageError) as caught:
        brought(**more)  # type: ignore[arg-type]
    assert words in caught.value.message
    assert "geheim" not in f"{caught.value.message}{caught.value.cause}{caught.value.hint}"


def test_what_is_as_it_always_is_means_nothing() -> None:
    brought(connect_kwargs={"allow_agent": True, "look_for_keys": True, "password": None})


def carried(config: fabric.Config) -> FromFabric | None:
    return of_fabric(fabric.Connection("pi1", config=config))


@pytest.mark.parametrize("clone", [False, True])
def test_a_configuration_that_no_file_has_is_refused(tmp_path: Path, clone: bool) -> None:
    """What ours would read instead may mean another machine. `fab` itself works on a clone."""
    text = "Host pi1\n  HostName 10.0.0.5\n"
    (tmp_path / "file").write_text(text)
    parsed = SSHConfig()
    parsed.parse(StringIO(text))
    made = fabric.Config(ssh_config=parsed)
    with pytest.raises(UsageError, match="is in no file"):
        carried(made.clone() if clone else made)
    for same in (
        fabric.Config(runtime_ssh_path=str(tmp_path / "file")),
        fabric.Config(overrides={"ssh_config_path": str(tmp_path / "file")}),
        fabric.Config(user_ssh_path=str(tmp_path / "file")),
    ):
        found = carried(same.clone() if clone else same)
        assert found is not None
        assert found.options == {"ssh_config": str(tmp_path / "file")}


@pytest.mark.parametrize("how", ["none is loaded", "an empty one"])
def test_no_configuration_at_all(how: str, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host pi1\n  HostName 10.0.0.5\n")
    empty = {"ssh_config": SSHConfig()} if "empty" in how else {"overrides": {"load_ssh_configs": False}}
    found = carried(fabric.Config(**empty))
    assert found is not None
    assert found.options == {"ssh_config": "/dev/null"}
    found = carried(fabric.Config())
    assert found is not None
    assert found.options == {}


def test_another_user_than_root_is_refused() -> None:
    with pytest.raises(UsageError, match=r"sudo\.user=admin"):
        carried(fabric.Config(overrides={"sudo": {"user": "admin"}}))


@pytest.mark.needs("ssh")
def test_fab_goes_where_its_own_configuration_says(tmp_path: Path) -> None:
    """`fab -S prod -H prod.db`: the machine of that file, and no other."""
    (tmp_path / "prod").write_text("Host prod.db\n  HostName 127.0.0.1\n  Port 9\n")
    (tmp_path / "fabfile.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom tasks import namespace\n"
    )
    done = subprocess.run(
        [str(FAB), "-S", "prod", "-t", "3", "-H", "prod.db", "platforms"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "127.0.0.1 port 9 refused" in done.stderr
