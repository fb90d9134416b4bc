"""`client-cert` and what `builder` refuses, as typed: files for their owner alone, and nothing for words that clash."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from provision.certificates import pem
from provision.certificates.authority import Authority
from provision.commands.client_cert import keep
from tests.lab.cli import Outcome, provision

OWN = '[buildkit]\nlisten = ["tcp://127.0.0.1:1234"]\n[buildkit.tls]\nauthority = "own"\n'


def run(folder: Path, *words: str, more: str = "") -> Outcome:
    (folder / "provision.toml").write_text(OWN + more)
    return provision(*words, "--format", "json", cwd=folder)


def test_a_person_gets_three_files_and_a_pipeline_one(tmp_path: Path) -> None:
    assert run(tmp_path, "client-cert", "alice").code == 0
    assert run(tmp_path, "client-cert", "ci", "--variables").code == 0
    found = {
        path: stat.S_IMODE(path.stat().st_mode)
        for path in tmp_path.rglob("*.[pke]*")
        if path.parent != tmp_path
    }
    assert set(found.values()) == {0o600}
    folder = tmp_path / "alice"
    assert sorted(path.name for path in folder.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]
    assert pem.life_of((folder / "cert.pem").read_text()) is not None
    text = (tmp_path / "ci/variables.env").read_text()
    assert [line.partition("=")[0] for line in text.splitlines() if line.startswith("BUILDER_")] == [
        "BUILDER_TLS_CACERT", "BUILDER_TLS_CERT", "BUILDER_TLS_KEY"
    ]  # fmt: skip


def test_a_folder_that_cannot_be_written_makes_no_client(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run(tmp_path, "client-cert", "alice", "--out", "file/here")
    assert (refused.code, refused.envelope["errors"][0]["code"]) == (3, "authority")
    assert refused.envelope["errors"][0]["hint"] == "Name another --out."
    assert not (tmp_path / ".config/provision/authority").exists()


def test_the_keys_of_the_authority_are_encrypted_with_a_passphrase(tmp_path: Path) -> None:
    secret = 'passphrase_command = "echo open sesame"\n'
    first = run(tmp_path, "client-cert", "alice", more=secret)
    assert first.code == 0
    for key in (tmp_path / ".config/provision/authority").glob("*.key"):
        assert key.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert not any("open sesame" in each for each in (first.out, first.err))
    wrong = run(tmp_path, "client-cert", "bob", more=secret.replace("open", "close"))
    assert wrong.envelope["errors"][0]["code"] == "authority"
    assert not (tmp_path / "bob").exists()


def test_a_pair_of_this_machine_that_was_cut_apart_is_made_anew(tmp_path: Path) -> None:
    authority, folder = Authority(folder=tmp_path / "authority"), tmp_path / "client"
    authority.make()
    keep(folder, authority)
    made = {path: path.read_bytes() for path in folder.iterdir()}
    keep(folder, authority)
    assert {path: path.read_bytes() for path in folder.iterdir()} == made
    # A run that was killed between the two.
    (folder / "key.pem").write_text(authority.for_client("x").key.reveal())
    keep(folder, authority)
    assert pem.is_pair((folder / "cert.pem").read_text(), (folder / "key.pem").read_text())


@pytest.mark.parametrize(
    "words",
    [
        ("client-cert", "../x"),
        ("client-cert", "alice", "--revoke", "--variables"),
        ("client-cert", "alice", "--revoke", "--out", "x"),
        ("builder", "--remove", "--print"),
        ("builder", "--name", "a b"),
        ("builder", "--name", "default"),
        ("health", "--builder", "nobody"),
    ],
    ids=" ".join,
)
def test_what_is_refused_does_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert run(tmp_path, "client-cert", "alice").code == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    refused = run(tmp_path, *words)
    assert (refused.code, refused.envelope["errors"][0]["code"]) == (1, "usage")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
