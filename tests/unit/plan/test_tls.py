"""What the user's own authority brings to a host, when, and that the key is in the script alone."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from provision import paths
from provision.apply import script
from provision.certificates import pem
from provision.certificates.authority import Authority
from provision.certificates.files import ServerFiles
from provision.certificates.life import DAY
from provision.certificates.pem import Issued
from provision.commands.certificates import Certifier, names
from provision.facts import Facts
from provision.facts.basis import Certificate
from provision.plan import Plan, plan
from provision.plan.steps import SaveGeneration, WriteFile
from provision.spec import Tls
from provision.transport import Secret
from tests.unit.recorded import NONCE, SPEC, facts, target

OWN = Tls(cert=paths.TLS_CERT, key=paths.TLS_KEY, ca=paths.TLS_CA, authority="own")
WANTED = replace(
    SPEC,
    buildkit=replace(SPEC.buildkit, listen=("tcp://0.0.0.0:1234",), tls=OWN, network="bridge"),
)
KEY = "MIGHAgEAMBMGByqGSM49"
NEW = ServerFiles(trusted="clients\n", certificate="server\n", key=Secret(KEY), why="there is none")
KEPT = replace(NEW, key=None, why="")


def planned(files: ServerFiles, **texts: str) -> Plan:
    """For a provisioned host with these files of the listener."""
    known = facts("provisioned")
    places = {"ca": paths.TLS_CA, "cert": paths.TLS_CERT, "key": paths.TLS_KEY}
    lost = {path: Certificate(lost=True) for path in places.values()}
    found = {**lost, **{places[name]: Certificate(text=text) for name, text in texts.items()}}
    seen: Facts = replace(
        known, basis=replace(known.basis, certificates=found), tools=known.tools | {"iptables"}
    )
    return plan(replace(target(seen, WANTED), tls=files), nonce=NONCE, argc=7)


def written(made: Plan) -> dict[str, str]:
    return {each.id: each.mode for each in made.steps if isinstance(each, WriteFile) and "tls" in each.id}


def test_a_new_host_gets_three_files_and_a_key_for_root_alone() -> None:
    assert written(planned(NEW)) == {"tls-clients": "0644", "tls-key": "0600", "tls-certificate": "0644"}


def test_the_key_is_in_the_script_and_in_nothing_that_is_shown() -> None:
    made = planned(NEW)
    assert KEY in script(made)
    assert KEY not in repr(made)
    assert not any(KEY in f"{each.target}{each.detail}" for each in made.steps)


@pytest.mark.parametrize(
    ("texts", "changed"),
    [
        ({"ca": "clients", "cert": "server"}, set()),
        ({"ca": "others", "cert": "server"}, {"tls-clients"}),
        ({"cert": "server"}, {"tls-clients"}),
    ],
)
def test_a_certificate_that_is_good_stays(texts: dict[str, str], changed: set[str]) -> None:
    assert set(written(planned(KEPT, **texts))) == changed


def test_the_daemon_is_restarted_for_what_it_reads_at_its_start_alone() -> None:
    same = planned(KEPT, ca="clients", cert="server").generation
    assert planned(replace(NEW, certificate="server\n")).generation == same
    assert planned(replace(KEPT, trusted="others"), ca="clients", cert="server").generation != same
    assert planned(replace(NEW, certificate="newer"), ca="clients", cert="server").generation != same


def test_a_certificate_is_for_every_name_that_clients_may_use() -> None:
    found = tuple(
        names(("pi1.example", "pi@10.0.0.7:22", "-x"), "10.0.0.7", ("tcp://0.0.0.0:1", "tcp://[fe80::1]:1"))
    )
    assert found == ("pi1.example", "10.0.0.7", "fe80::1", "localhost", "127.0.0.1")


@pytest.mark.parametrize(
    ("key", "step", "goes_back"),
    [
        (None, "tls-certificate", {paths.TLS_CA, paths.TLS_CERT}),
        # The certificate of before is of no use with another key.
        (Secret(KEY), "tls-key", {paths.TLS_CA}),
    ],
)
def test_the_files_change_after_builds_have_ended_and_what_is_of_use_is_saved(
    key: Secret | None, step: str, goes_back: set[str]
) -> None:
    made = planned(replace(NEW, certificate="newer", key=key), ca="others", cert="server", key="")
    steps = [each.id for each in made.steps]
    order = [steps.index(each) for each in ("drain", "save", "tls-clients", step, "service-restart")]
    assert order == sorted(order)
    (saving,) = (each for each in made.steps if isinstance(each, SaveGeneration))
    listener = {paths.TLS_CA, paths.TLS_CERT, paths.TLS_KEY}
    assert listener & set(saving.files) == goes_back


def test_a_certificate_is_renewed_without_its_key() -> None:
    made = planned(
        replace(NEW, certificate="newer", key=None, why="it ends in 9 days"), cert="server", key=""
    )
    (step,) = (each for each in made.steps if each.id == "tls-certificate")
    assert (step.action, step.detail) == ("update", "it ends in 9 days; its key stays")
    assert "tls-key" not in written(made)


@pytest.mark.parametrize(
    ("there", "last"),
    [
        ({}, paths.TLS_KEY),
        ({"key": ""}, paths.TLS_CERT),
        ({"cert": "server"}, paths.TLS_KEY),
        ({"cert": "server", "key": ""}, paths.TLS_CERT),
    ],
)
def test_of_a_new_pair_the_file_that_is_missing_comes_last(there: dict[str, str], last: str) -> None:
    """A cut between the two leaves it missing, which every host can tell of."""
    made = planned(replace(NEW, certificate="newer"), ca="clients", **there)
    order = [
        each.path for each in made.steps if isinstance(each, WriteFile) and each.path.startswith(paths.TLS)
    ]
    assert set(order) == {paths.TLS_KEY, paths.TLS_CERT}
    assert order[-1] == last
    actions = {each.id: each.action for each in made.steps}
    assert actions["tls-key"] == ("update" if "key" in there else "create")
    assert actions["tls-certificate"] == ("update" if "cert" in there else "create")


@pytest.mark.parametrize("issue", [True, False], ids=["provision", "plan"])
@pytest.mark.parametrize(
    ("fault", "why", "new_key"),
    [
        ("", "it ends in 7 days", False),
        ("names", "it is not for ", False),
        ("authority", "another authority has signed it", False),
        ("certificate is gone", "there is none", True),
        ("certificate is no certificate", "it cannot be read", True),
        ("key is gone", f"there is no {paths.TLS_KEY}", True),
        ("key of another", f"{paths.TLS_KEY} is not the key of {paths.TLS_CERT}", True),
        ("another, without openssl", f"{paths.TLS_KEY} is not the key of {paths.TLS_CERT}", True),
    ],
)
def test_a_new_key_is_made_only_where_no_pair_is_there(
    tmp_path: Path, fault: str, why: str, new_key: bool, issue: bool
) -> None:
    authority, other = Authority(folder=tmp_path / "own"), Authority(folder=tmp_path / "other")
    for each in (authority, other):
        each.make()
    called = tuple(names((), "10.0.0.7", WANTED.buildkit.listen))
    signer = other if fault == "authority" else authority
    old = signer.for_server("pi1", ("pi2",) if fault == "names" else called, days=90)
    if not fault:
        old = Issued(certificate=short(authority, old.certificate, called), key=old.key)
    text = {"certificate is gone": "", "certificate is no certificate": "x"}.get(fault, old.certificate)
    known = facts("provisioned")
    seen = {
        paths.TLS_CERT: Certificate(text=text, lost=not text),
        paths.TLS_KEY: Certificate(lost=fault == "key is gone"),
    }
    public = {"key of another": "0" * 64, "another, without openssl": "another"}.get(fault, "")
    basis = replace(known.basis, certificates=seen, public_key=public)
    before = target(replace(known, basis=basis), WANTED)
    made = Certifier(authority=authority).with_files(before, "10.0.0.7", issue=issue).tls
    assert made is not None
    assert made.why.startswith(why)
    assert (made.key is not None) == new_key
    if issue:
        key = made.key or old.key
        assert pem.is_pair(made.certificate, key.reveal())
        assert pem.is_signed_by(made.certificate, authority.servers)
        assert pem.names_of(made.certificate) == set(called)


def short(authority: Authority, certificate: str, called: tuple[str, ...]) -> str:
    """Another one for the same key, of whose life most is over."""
    signer = pem.load_signer(authority.servers, Secret((authority.folder / "servers.key").read_text()))
    return pem.renew(signer, certificate, "pi1", time.time() - 30 * DAY, 37.3, names=called)
