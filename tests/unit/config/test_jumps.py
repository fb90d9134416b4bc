"""Jump hosts that the file describes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.config import names
from provision.config.load import load
from provision.errors import ConfigError
from provision.transport import MOST_JUMPS
from provision.transport.ssh.jumps import parsed

GATES = """
[hosts.gate]
host = "10.0.0.1"
user = "ops"
port = 2200
[hosts.six]
host = "fe80::1"
jump = "gate"
[hosts.plain]
[hosts.alone]
host = "10.0.0.9"
jump = "none"
"""


def way(folder: Path, jump: str, more: str = GATES) -> str | None:
    file = folder / "provision.toml"
    file.write_text(f"{more}\n[hosts.pi]\njump = {json.dumps(jump)}\n", encoding="utf-8")
    return load(file).inventory.hosts["pi"].jump


@pytest.mark.parametrize(
    ("typed", "way_there"),
    [
        ("gate", "ops@10.0.0.1:2200"),
        ("me@gate:22", "me@10.0.0.1:22"),
        ("six", "ops@10.0.0.1:2200,[fe80::1]"),
        ("x@six:9", "ops@10.0.0.1:2200,x@[fe80::1]:9"),
        # A later one is reached through the one before it, as with ssh -J.
        ("bastion,six", "bastion,[fe80::1]"),
        ("gate,gate2", "ops@10.0.0.1:2200,gate2"),
        ("plain", "plain"),
        ("alone", "10.0.0.9"),
        ("ops@bastion:2222", "ops@bastion:2222"),
        ("[fe80::2%eth0]:22", "[fe80::2%eth0]:22"),
        ("none", "none"),
    ],
)
def test_what_the_file_describes_is_written_out(tmp_path: Path, typed: str, way_there: str) -> None:
    assert way(tmp_path, typed) == way_there


def test_more_hosts_than_are_ever_gone_through(tmp_path: Path) -> None:
    """The limit is that of the connection, which would refuse them once it has begun."""
    most = [f"gate{number}.example" for number in range(MOST_JUMPS)]
    assert way(tmp_path, ",".join(most)) == ",".join(most)
    for jump in (",".join([*most, "one.more"]), f"{','.join(['six', *most[1:]])}"):
        with pytest.raises(
            ConfigError, match=f"leads through {MOST_JUMPS + 1} hosts; {MOST_JUMPS} are the most"
        ):
            way(tmp_path, jump)


@pytest.mark.parametrize("jump", ["fe80::1", "ops@::1", "gate,fd00::1", "fe80::1%eth0"])
def test_an_ipv6_address_stands_in_brackets_as_ssh_has_it(tmp_path: Path, jump: str) -> None:
    with pytest.raises(ConfigError, match="an IPv6 address in brackets"):
        way(tmp_path, jump)


@given(st.from_regex(r"[a-zA-Z0-9.@:\[\]_%-]{1,20}(,[a-z0-9.@:\[\]]{1,8})?", fullmatch=True))
def test_ssh_takes_what_is_accepted_as_a_jump(text: str) -> None:
    try:
        names.jump(text)
    except ValueError:
        return
    for each in text.split(","):
        parsed(each, name="x", jump=None)


@pytest.mark.parametrize(
    ("jump", "more", "circle"),
    [
        ("pi", "", "pi -> pi"),
        ("bastion,root@pi:22", "", "pi -> pi"),
        ("a", '[hosts.a]\njump = "b"\n[hosts.b]\njump = "pi"', "pi -> a -> b -> pi"),
    ],
)
def test_a_circle_is_refused(tmp_path: Path, jump: str, more: str, circle: str) -> None:
    with pytest.raises(ConfigError, match=f"is a circle: .*{circle}") as caught:
        way(tmp_path, jump, more)
    assert "[hosts.pi] jump" in str(caught.value)
