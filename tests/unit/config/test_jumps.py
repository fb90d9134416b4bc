"""Jump hosts that the file describes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provision.config.load import load
from provision.errors import ConfigError

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
