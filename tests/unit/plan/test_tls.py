"""What the user's own authority brings to a host, when, and that the key is in the script alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision import paths
from provision.apply import script
from provision.certificates.files import ServerFiles
from provision.commands.certificates import names
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
    places = {"ca": paths.TLS_CA, "cert": paths.TLS_CERT}
    found = {places[name]: Certificate(text=text) for name, text in texts.items()}
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


def test_the_files_change_after_builds_have_ended_and_the_old_ones_are_saved() -> None:
    made = planned(replace(NEW, certificate="newer"), ca="others", cert="server")
    steps = [each.id for each in made.steps]
    order = [steps.index(each) for each in ("drain", "save", "tls-clients", "tls-key", "service-restart")]
    assert order == sorted(order)
    (saving,) = (each for each in made.steps if isinstance(each, SaveGeneration))
    assert {paths.TLS_CA, paths.TLS_CERT} <= set(saving.files)
