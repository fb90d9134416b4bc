"""A buildkitd.toml of somebody else: what of it would be lost, and what provision.toml can say as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.buildkit.daemon import render_config
from provision.buildkit.foreign import adopted, lost
from provision.config.load import load
from provision.spec import Buildkit

THEIRS = """
root = "/data/buildkit"
debug = true
[grpc]
address = ["unix:///run/buildkit/buildkitd.sock", "tcp://127.0.0.1:1234"]
[grpc.tls]
cert = "/etc/c.pem"
key = "/etc/k.pem"
ca = "/etc/ca.pem"
[dns]
nameservers = ["10.0.0.53"]
searchDomains = ["a.example"]
[worker.oci]
enabled = true
max-parallelism = 3
reservedSpace = "10GB"
gckeepstorage = 9000
[worker.oci.labels]
"org.example.rack" = "7"
[[worker.oci.gcpolicy]]
keepBytes = 512
[worker.containerd]
enabled = false
[registry."r.example:5000"]
http = true
mirrors = ["m.example"]
[registry."r.example:5000".keypair]
"""
OURS = render_config(Buildkit(), "v0.32.2", 0)


def test_what_would_be_lost_is_named() -> None:
    found = lost(THEIRS, OURS)
    assert 'root = "/data/buildkit"' in found
    assert "worker.oci.gckeepstorage = 9000" in found
    assert 'registry."r.example:5000".http = true' in found
    assert not [each for each in found if each.startswith(("worker.oci.enabled", "worker.containerd"))]
    assert lost(OURS, OURS) == ()
    assert lost("= no", OURS) == ("it is no TOML, so the daemon does not start with it",)


def test_the_lines_for_provision_toml_are_accepted_and_keep_what_it_knows(tmp_path: Path) -> None:
    file = tmp_path / "provision.toml"
    file.write_text("\n".join(adopted(THEIRS)))
    buildkit = load(str(file), ()).spec.buildkit
    assert buildkit.listen == ("tcp://127.0.0.1:1234",)
    assert buildkit.tls is not None
    again = lost(THEIRS, render_config(buildkit, "v0.32.2", 0))
    # Addresses stand in the unit, a level says what `debug` says, and the rest has no setting.
    assert {each.split(" ")[0] for each in again} == {
        *("root", "debug", "grpc.address", "worker.oci.gckeepstorage", "worker.oci.gcpolicy"),
    }


@pytest.mark.parametrize("text", ["", "no toml ="])
def test_nothing_to_adopt(text: str) -> None:
    assert adopted(text) == ()
