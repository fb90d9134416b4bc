"""What the daemon of a node says of itself, as `buildx ls` prints it (v0.38.2, shortened)."""

from __future__ import annotations

import json

import pytest

from provision.builder.listed import parsed

NODE = {
    "Endpoint": "tcp://127.0.0.1:1234",
    "Name": "pi1",
    "Platforms": ["linux/arm64", "linux/arm/v7", "linux/arm/v7"],
    "Status": "running",
    "Version": "v0.32.2",
}
DOCKERS = '{"Name":"default","Driver":"","Err":"no such file","Nodes":[{"Endpoint":"","Name":""}]}'


def printed(**changed: object) -> str:
    line = json.dumps({"Name": "fleet", "Driver": "remote", "Nodes": [{**NODE, **changed}]})
    return f"{line}\n{line}\n{DOCKERS}\n"


def test_platforms_and_version() -> None:
    found = parsed(printed(), "fleet")
    assert found
    assert (found.version, found.platforms) == ("v0.32.2", ("linux/arm64", "linux/arm/v7"))


def test_a_daemon_that_did_not_answer_has_said_nothing() -> None:
    assert parsed(printed(Version=""), "fleet") is None
    assert parsed(printed(), "other") is None


def test_an_older_buildx_prints_a_table() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        parsed("NAME/NODE DRIVER/ENDPOINT STATUS\n", "fleet")
