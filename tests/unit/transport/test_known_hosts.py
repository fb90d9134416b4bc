"""Host keys: what known_hosts files say, against OpenSSH's own reading of them, and what a user is told."""

from __future__ import annotations

import base64
import shlex
import subprocess
from pathlib import Path

import pytest

from provision.errors import HostKeyError
from provision.transport import SshSettings, Target
from provision.transport.ssh.config import Endpoint, endpoint
from provision.transport.ssh.known_hosts import HostKey, UnknownKeyError, add, known, search
from provision.transport.ssh.known_hosts import check as checked

pytestmark = pytest.mark.needs("ssh-keygen", "ssh")

BLOB = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"k" * 32).decode()
OTHER = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"o" * 32).decode()


def check(where: Endpoint, name: str, key: HostKey) -> HostKeyError | None:
    return checked(where, name, known(where), key)


def at(file: Path, host: str = "pi.example", port: int = 22, alias: str = "") -> Endpoint:
    values = {"hostname": (host,), "port": (str(port),), "userknownhostsfile": (str(file),)}
    if alias:
        values["hostkeyalias"] = (alias,)
    return endpoint(Target(name="pi", host=host), SshSettings(), values)


def shown(blob: str = BLOB, name: str = "pi.example") -> HostKey:
    return HostKey(name=name, kind="ssh-ed25519", blob=base64.b64decode(blob))


LINES = [
    ("pi.example ssh-ed25519 KEY", "pi.example", True),
    ("PI.example ssh-ed25519 KEY a comment", "pi.example", True),
    ("other,pi.example ssh-ed25519 KEY", "pi.example", True),
    ("*.example ssh-ed25519 KEY", "pi.example", True),
    ("p?.example ssh-ed25519 KEY", "pi.example", True),
    ("*.example,!pi.example ssh-ed25519 KEY", "pi.example", False),
    ("pixexample ssh-ed25519 KEY", "pi.example", False),
    ("pi.example ssh-ed25519 KEY", "[pi.example]:2222", False),
    ("[pi.example]:2222 ssh-ed25519 KEY", "[pi.example]:2222", True),
    ("[pi.example]:* ssh-ed25519 KEY", "[pi.example]:2222", True),
    ("#pi.example ssh-ed25519 KEY", "pi.example", False),
    ("pi.example ssh-ed25519", "pi.example", False),
    ("pi.example ssh-ed25519 !!!", "pi.example", False),
    ("|1|bad|worse ssh-ed25519 KEY", "pi.example", False),
    ("", "pi.example", False),
]


@pytest.mark.parametrize(("line", "name", "found"), LINES)
def test_a_line_fits_a_name(tmp_path: Path, line: str, name: str, found: bool) -> None:
    file = tmp_path / "known hosts"
    file.write_text(line.replace("KEY", BLOB) + "\n", encoding="ascii")
    assert bool(search([file], name).keys) == found


@pytest.mark.parametrize("name", ["pi.example", "[pi.example]:2222", "[::1]:2222"])
def test_hashed_names_are_found(tmp_path: Path, name: str) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"other {'ssh-ed25519'} {OTHER}\n{name} ssh-ed25519 {BLOB}\n", encoding="ascii")
    subprocess.run(["ssh-keygen", "-H", "-f", str(file)], check=True, capture_output=True)
    lines = file.read_text(encoding="ascii").splitlines()
    assert all(line.startswith("|1|") for line in lines)
    assert [key.blob for key in search([file], name).keys] == [base64.b64decode(BLOB)]


def test_a_name_is_hashed_where_it_should_be(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    add(file, [shown(name="[pi.example]:2222")], hashed=True)
    assert "pi.example" not in file.read_text(encoding="ascii")
    assert [key.blob for key in search([file], "[pi.example]:2222").keys] == [base64.b64decode(BLOB)]


def test_the_fingerprint_is_openssh_s(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    public = tmp_path / "key.pub"
    kind, blob = public.read_text(encoding="ascii").split()[:2]
    told = subprocess.run(["ssh-keygen", "-lf", public], check=True, capture_output=True, text=True).stdout
    assert HostKey(name="x", kind=kind, blob=base64.b64decode(blob)).fingerprint == told.split()[1]


def test_markers_are_kept_apart(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(
        f"@revoked * ssh-ed25519 {OTHER}\n@cert-authority *.example ssh-ed25519 {BLOB}\n", encoding="ascii"
    )
    found = search([file], "pi.example")
    assert found.keys == ()
    assert [key.blob for key in found.revoked] == [base64.b64decode(OTHER)]
    assert found.by_authority


def test_a_known_key_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"pi.example ssh-ed25519 {BLOB}\n", encoding="ascii")
    assert check(at(file), "pi", shown()) is None


def test_a_key_without_port_counts_as_ssh_has_it(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"pi.example ssh-ed25519 {BLOB}\n", encoding="ascii")
    assert check(at(file, port=2222), "pi", shown()) is None


def test_a_key_without_port_may_only_accept(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"pi.example ssh-ed25519 {OTHER}\n", encoding="ascii")
    assert isinstance(check(at(file, port=2222), "pi", shown()), UnknownKeyError)
    file.write_text(f"@revoked pi.example ssh-ed25519 {BLOB}\n", encoding="ascii")
    revoked = check(at(file, port=2222), "pi", shown())
    assert revoked is not None
    assert "revoked" in revoked.message
    file.write_text(
        f"pi.example ssh-ed25519 {BLOB}\n[pi.example]:2222 ssh-ed25519 {OTHER}\n", encoding="ascii"
    )
    changed = check(at(file, port=2222), "pi", shown())
    assert changed is not None
    assert "has changed" in changed.message


def test_an_alias_is_looked_up_instead(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"rack ssh-ed25519 {BLOB}\n", encoding="ascii")
    assert check(at(file, port=2222, alias="Rack"), "pi", shown()) is None
    assert isinstance(check(at(file), "pi", shown()), UnknownKeyError)


def test_an_unknown_key_is_shown_with_the_line_that_adds_it(tmp_path: Path) -> None:
    error = check(at(tmp_path / "none", port=2222), "pi", shown())
    assert isinstance(error, UnknownKeyError)
    assert shown().fingerprint in error.cause
    assert "--accept-new-host-keys" in error.hint


def test_a_changed_key_is_shown_with_both_fingerprints_and_the_line_that_removes_it(tmp_path: Path) -> None:
    file = tmp_path / "known hosts"
    file.write_text(f"pi.example ssh-ed25519 {OTHER}\n", encoding="ascii")
    where = Endpoint(**{**vars(at(file)), "known_hosts": (file, tmp_path / "none")})
    error = check(where, "pi", shown())
    assert isinstance(error, HostKeyError)
    assert not isinstance(error, UnknownKeyError)
    assert shown().fingerprint in error.cause
    assert shown(OTHER).fingerprint in error.cause
    command = error.hint.removeprefix("Only if you know why: ").partition(";")[0]
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    assert not known(where).keys


def test_a_key_of_another_kind_is_a_change_too(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"pi.example ssh-rsa {OTHER}\n", encoding="ascii")
    error = check(at(file), "pi", shown())
    assert isinstance(error, HostKeyError)
    assert "changed" in error.message


def test_a_revoked_key_is_refused_even_if_known(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    line = f"pi.example ssh-ed25519 {BLOB}\n"
    file.write_text(f"{line}@revoked * ssh-ed25519 {BLOB}\n", encoding="ascii")
    error = check(at(file), "pi", shown())
    assert error is not None
    assert "revoked" in error.message
    assert not isinstance(error, UnknownKeyError)


def test_adding_keeps_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "new" / "known_hosts"
    add(file, [shown()])
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    file.write_text("rack ssh-ed25519 AAAA", encoding="ascii")  # no newline at its end
    add(file, [shown(), shown(OTHER, "[pi.example]:2222")])
    assert file.read_text(encoding="ascii").splitlines() == [
        "rack ssh-ed25519 AAAA",
        f"pi.example ssh-ed25519 {BLOB}",
        f"[pi.example]:2222 ssh-ed25519 {OTHER}",
    ]
