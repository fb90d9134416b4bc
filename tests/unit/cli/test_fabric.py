"""What `fab -H`, or a program with a Fabric Connection, gives a task."""

from __future__ import annotations

from pathlib import Path

import fabric
import pytest

from provision.cli.fabric import of_fabric
from provision.spec import Host


def fabric_connection(host: str, ssh_config: str = "", **more: object) -> fabric.Connection:
    from io import StringIO  # noqa: PLC0415

    from paramiko.config import SSHConfig  # noqa: PLC0415

    parsed = SSHConfig()
    parsed.parse(StringIO(ssh_config))
    return fabric.Connection(host, config=fabric.Config(ssh_config=parsed), **more)


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
