"""The user's own authority: what it signs, who it lets in, and that its keys stay where they are."""

from __future__ import annotations

import itertools
import shutil
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provision.certificates import pem
from provision.certificates.authority import Authority, AuthorityError
from provision.certificates.life import DAY, Life
from provision.certificates.server import due, unusable
from provision.errors import UsageError
from provision.transport import Secret


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(folder=tmp_path / "authority")
    assert made.make()
    return made


def test_it_is_made_once_and_for_its_owner_alone(authority: Authority) -> None:
    before = {path: path.read_bytes() for path in authority.folder.iterdir()}
    assert not authority.make()
    assert {path: path.read_bytes() for path in authority.folder.iterdir()} == before
    assert {stat.S_IMODE(path.stat().st_mode) for path in before} == {0o600}
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700


def test_hosts_that_are_provisioned_at_once_have_one_authority(tmp_path: Path) -> None:
    """Every host's thread asks for it: a key of one with the certificate of another would sign nothing, for ever."""
    folder, together = tmp_path / "authority", threading.Barrier(8)

    def make(_: int) -> bool:
        together.wait()
        return Authority(folder=folder).make()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(make, range(8))) == 1
    made = Authority(folder=folder)
    for issued, signer in (
        (made.for_server("pi1", ("pi1",)), made.servers),
        (made.for_client("a"), made.trusted),
    ):
        assert pem.is_signed_by(issued.certificate, signer)


def test_a_server_has_its_names_and_a_client_none(authority: Authority) -> None:
    server = authority.for_server("pi1", ("pi1.example", "10.0.0.7", "fe80::1"))
    assert pem.names_of(server.certificate) == {"pi1.example", "10.0.0.7", "fe80::1"}
    assert pem.is_signed_by(server.certificate, authority.servers)
    assert not pem.is_signed_by(server.certificate, authority.trusted)
    client = authority.for_client("alice")
    assert pem.names_of(client.certificate) == frozenset()
    assert pem.is_signed_by(client.certificate, authority.trusted)


def test_the_key_is_no_part_of_what_can_be_printed(authority: Authority) -> None:
    issued = authority.for_client("alice")
    assert issued.key.reveal().startswith("-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE" not in repr(issued)
    assert not any("PRIVATE" in path.read_text() for path in (authority.folder / "clients").iterdir())


def test_a_key_may_be_encrypted(tmp_path: Path) -> None:
    right = Authority(folder=tmp_path, passphrase=lambda: Secret("open sesame"))
    right.make()
    assert "ENCRYPTED" in (tmp_path / "servers.key").read_text()
    right.for_server("pi1", ("pi1",))
    for passphrase in (None, Secret("wrong")):
        with pytest.raises(AuthorityError, match="cannot be used"):
            Authority(folder=tmp_path, passphrase=lambda it=passphrase: it).for_server("pi1", ("pi1",))  # type: ignore[misc]


def test_a_key_that_others_can_read_is_refused(authority: Authority) -> None:
    (authority.folder / "servers.key").chmod(0o640)
    with pytest.raises(AuthorityError, match="read by others"):
        authority.for_server("pi1", ("pi1",))


def test_who_is_revoked_is_no_longer_trusted_and_all_others_are(authority: Authority) -> None:
    old = {name: authority.for_client(name).certificate for name in ("alice", "bob")}
    authority.revoke("bob")
    trusted = authority.trusted
    assert trusted.count("BEGIN CERTIFICATE") == 2
    assert old["alice"].strip() in trusted
    assert not pem.is_signed_by(old["bob"], trusted)
    assert pem.is_signed_by(authority.for_client("carol").certificate, trusted)
    assert set(authority.clients) == {"alice", "carol"}
    # Whom only the former authority knew goes without a third one.
    signer = (authority.folder / "clients.pem").read_text()
    authority.revoke("alice")
    assert authority.trusted == signer
    with pytest.raises(UsageError, match="no client 'bob'"):
        authority.revoke("bob")


def test_a_revocation_that_is_cut_anywhere_can_be_run_again(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose name is gone before the authority is another one can never be shut out."""
    old = {name: authority.for_client(name).certificate for name in ("alice", "bob", "carol")}
    folder, kept = authority.folder, authority.folder.with_name("kept")
    shutil.copytree(folder, kept)
    cuts = 0
    for limit in itertools.count(1):
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        with monkeypatch.context() as patched:
            writes = _cut_after(patched, limit)
            try:
                authority.revoke("bob")
            except KeyboardInterrupt:
                cuts += 1
            else:
                assert writes() < limit
                break
        # What signs is there at any moment.
        assert pem.is_signed_by(authority.for_client("erin").certificate, authority.trusted)
        shut_out = not pem.is_signed_by(old["bob"], authority.trusted)
        assert shut_out or "bob" in authority.clients, f"after {limit} changes of the folder"
        if "bob" in authority.clients:
            authority.revoke("bob")
        assert not pem.is_signed_by(old["bob"], authority.trusted)
        assert pem.is_signed_by(authority.for_client("dora").certificate, authority.trusted)
        assert {"alice", "carol"} <= set(authority.clients)
        for name in ("alice", "carol"):
            assert old[name].strip() in authority.trusted
    assert cuts == 8  # two former clients, a key, its certificate, the key's name, three names


def _cut_after(patched: pytest.MonkeyPatch, limit: int) -> Callable[[], int]:
    """Ends the process, as far as it can see, with a change of a folder; how many there were."""
    seen = itertools.count(1)
    last = [0]

    def counted(change: Callable[..., None]) -> Callable[..., None]:
        def changed(path: Path, *words: object, **more: object) -> None:
            there = path.exists()
            change(path, *words, **more)
            last[0] = next(seen) if there else last[0]
            if last[0] == limit and there:
                raise KeyboardInterrupt

        return changed

    for name in ("replace", "unlink"):
        patched.setattr(Path, name, counted(getattr(Path, name)))
    return lambda: last[0]


def test_a_passphrase_that_is_not_given_changes_nothing(authority: Authority) -> None:
    authority.for_client("alice")
    before = {path: path.read_bytes() for path in authority.folder.rglob("*") if path.is_file()}

    def refused() -> Secret:
        raise AuthorityError("no passphrase", hint="")

    with pytest.raises(AuthorityError, match="no passphrase"):
        Authority(folder=authority.folder, passphrase=refused).revoke("alice")
    assert {path: path.read_bytes() for path in authority.folder.rglob("*") if path.is_file()} == before


def test_a_client_whose_time_is_over_is_no_longer_listed(authority: Authority) -> None:
    authority.for_client("alice", days=-0.02)
    authority.for_client("bob")
    authority.revoke("bob")
    assert authority.trusted.count("BEGIN CERTIFICATE") == 1


def test_a_certificate_is_renewed_when_a_third_of_its_life_is_left() -> None:
    life = Life(begin=0, end=300)
    assert [life.is_due(now) for now in (0, 199, 200, 301)] == [False, False, True, True]
    assert [life.is_over(now) for now in (-1, 0, 299, 300)] == [True, False, False, True]


def test_why_a_host_gets_another_certificate(authority: Authority, tmp_path: Path) -> None:
    now, names = time.time(), ("10.0.0.7", "pi1")
    good = authority.for_server("pi1", (*names, "extra"), 90).certificate

    def why(certificate: str = good, *, later: float = 0) -> str:
        return due(certificate, authority=authority.servers, names=names, now=now + later * DAY)

    assert why() == ""
    assert why(later=59) == ""
    assert why(later=61) == "it ends in 29 days"
    assert why(later=91) == "it has expired"
    assert why(authority.for_server("pi1", ("pi1",)).certificate) == "it is not for 10.0.0.7"
    other = Authority(folder=tmp_path / "other")
    other.make()
    assert why(other.for_server("pi1", names).certificate) == "another authority has signed it"


def test_what_no_daemon_starts_with(authority: Authority) -> None:
    good = authority.for_server("pi1", ("pi1",)).certificate
    assert unusable(good, "") == ""
    assert unusable(good, "there is no key") == "there is no key"
    for problem in ("", "there is no key"):
        assert unusable("", problem) == "there is none"
        assert unusable("nonsense", problem) == "it cannot be read"


def test_a_certificate_is_renewed_for_the_key_that_the_host_has(
    authority: Authority, tmp_path: Path
) -> None:
    """Whoever signed the one before, and whatever names and time it had."""
    other = Authority(folder=tmp_path / "other")
    other.make()
    old = other.for_server("pi1", ("pi1",), days=-0.02)
    new = authority.renewed(old.certificate, "pi2", ("pi2", "10.0.0.7"), 90)
    assert pem.is_pair(new, old.key.reveal())
    assert pem.is_signed_by(new, authority.servers)
    assert due(new, authority=authority.servers, names=("pi2", "10.0.0.7"), now=time.time()) == ""
    assert not pem.is_pair(new, authority.for_server("pi2", ("pi2",)).key.reveal())
    assert not pem.is_pair(new, "nonsense")
    assert not pem.is_pair("nonsense", old.key.reveal())
