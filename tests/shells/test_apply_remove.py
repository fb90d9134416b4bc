"""What the apply script takes away and brings back, in each shell; and that the tree is then what it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision import paths
from provision.facts import Facts
from provision.facts.host_record import kept
from provision.facts.view import MARK
from provision.plan.remove import plan_remove
from provision.spec import Spec
from tests.shells import archives, steps
from tests.shells.machine import WITHOUT_APPLETS, Applied, Machine

OURS = f"{MARK} for BuildKit\n"
TOML = paths.CONFIG


def tree(machine: Machine) -> dict[str, tuple[str, int, str]]:
    """Every file, link and folder but those of a run: kind, mode, content."""
    left_out = ("run", "tmp", "lab", "proc", "sys", "dev", "host", "var/lib/provision")
    found = {}
    for path in sorted(machine.root.rglob("*")):
        name = str(path.relative_to(machine.root))
        if name.startswith(left_out):
            continue
        content = str(path.readlink()) if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes().hex() if path.stat().st_size < 10_000 else "large"
        found[name] = (str(path.is_dir()), path.lstat().st_mode, content)
    return found


def provision(machine: Machine) -> None:
    """As a provisioned host is left, by the steps of a plan."""
    data = archives.plain()
    sha256 = archives.sha256(data)
    release = steps.release(paths.release(archives.VERSION, sha256), sha256)
    machine.write(f"{paths.CACHE}/{sha256}", data)
    applied = machine.apply(
        steps.file(TOML, OURS, step="toml"),
        steps.file(paths.MODULES, "binfmt_misc\n", step="module"),
        steps.rule(paths.rule("aarch64"), ":a:", header=f"{MARK}\n"),
        release,
        steps.link(paths.CURRENT, release.folder, step="current"),
        steps.link(paths.BUILDCTL, paths.CLIENT, step="buildctl"),
        steps.group("buildkit"),
        steps.file(paths.SERVICE_SCRIPT, f"#!/bin/sh\n{OURS}exit 0\n", step="script", mode="0755"),
    )
    assert set(applied.states) == {"done"}, applied


def remove(machine: Machine, *, purge: bool = False) -> tuple[Facts, Applied]:
    facts = machine.facts()
    return facts, machine.apply(*plan_remove(Spec(), facts, purge=purge).steps)


@pytest.fixture
def host(machine: Machine) -> Machine:
    machine.fake("groupadd", 'echo "$2:x:998:" >>/etc/group')
    machine.fake("groupdel", 'grep -v "^$1:" /etc/group >/lab/group; cat /lab/group >/etc/group')
    return machine


def test_the_tree_is_what_it_was(host: Machine) -> None:
    before = tree(host)
    provision(host)
    assert tree(host) != before
    _, applied = remove(host, purge=True)
    assert set(applied.states) == {"done"}, applied.steps
    assert tree(host) == before
    assert not host.at(paths.OWN).exists()
    # A second time there is nothing to do.
    assert remove(host, purge=True)[1].steps == {}


def test_what_others_had_is_back_as_it_was(host: Machine) -> None:
    host.write(TOML, "theirs\n", 0o600)
    host.write(paths.rule("aarch64"), ":theirs:\n")
    host.at(paths.BUILDCTL).symlink_to("/somewhere")
    host.write(paths.SERVICE_SCRIPT, "their script\n")
    for path in (TOML, paths.rule("aarch64")):
        os.utime(host.at(path), (1, 1))
    before = tree(host)
    inode = host.at(TOML).stat().st_ino
    provision(host)
    _, applied = remove(host, purge=True)
    assert set(applied.states) == {"done"}, applied.steps
    assert tree(host) == before
    assert (host.at(TOML).stat().st_ino, host.at(TOML).stat().st_mtime) == (inode, 1)


def test_without_purge_what_others_may_use_stays_and_can_be_purged_later(host: Machine) -> None:
    before = tree(host)
    provision(host)
    seen, _ = remove(host)
    notes = plan_remove(Spec(), seen, purge=False).notes
    assert "stays, as --purge was not given: group buildkit" in notes
    assert "buildkit:x:998:" in host.at("/etc/group").read_text()
    record = host.facts().record
    assert record is not None
    assert [entry.line for entry in record.entries] == ["group\tbuildkit"]
    assert plan_remove(Spec(), host.facts(), purge=False).empty
    remove(host, purge=True)
    assert tree(host) == before


def test_a_file_that_is_not_ours_any_more_stays(host: Machine) -> None:
    provision(host)
    host.write(TOML, "by hand\n")
    _, applied = remove(host, purge=True)
    assert host.at(TOML).read_text() == "by hand\n"
    assert host.listing("/etc/buildkit") == ["buildkitd.toml"]
    details = [step.detail for step in applied.steps.values()]
    assert "left, as it is not this tool's any more" in details
    assert "/etc/buildkit is not empty" in details


def test_what_was_kept_is_not_lost_where_ours_was_replaced_by_hand(host: Machine) -> None:
    host.write(TOML, "theirs\n")
    provision(host)
    host.write(TOML, "by hand\n")
    remove(host, purge=True)
    assert host.at(TOML).read_text() == "by hand\n"
    assert host.at(kept(TOML)).read_text() == "theirs\n"


@pytest.mark.thorough
def test_a_removal_that_was_cut_goes_on(host: Machine) -> None:
    before = tree(host)
    provision(host)
    every = plan_remove(Spec(), host.facts(), purge=True).steps
    for count in range(len(every)):
        # As if the link broke after each step.
        host.apply(*every[count : count + 1])
        again = plan_remove(Spec(), host.facts(), purge=True)
        assert again.empty == (count == len(every) - 1)
    assert tree(host) == before


@WITHOUT_APPLETS
def test_packages_that_others_depend_on_stay(host: Machine) -> None:
    host.fake("dpkg", "echo 'dpkg: dependency problems prevent removal of qemu' >&2; exit 1")
    host.write(f"{paths.OWN}/record", "# provision record 1: x\npackage\tapt-get\tqemu\n")
    _, applied = remove(host, purge=True)
    assert applied.states == ["done", "done", "failed", "done"]
    assert "dependency problems" in applied.steps["remove-packages"].detail
    assert host.calls()[-1] == ["dpkg", "--purge", "qemu"]
    record = host.facts().record
    assert record is not None
    assert [entry.line for entry in record.entries] == ["package\tapt-get\tqemu"]


def test_nothing_is_followed_out_of_a_folder(host: Machine, tmp_path: Path) -> None:
    """A link in the place of a file of ours is somebody else's."""
    provision(host)
    host.at(TOML).unlink()
    host.at(TOML).symlink_to("/etc/passwd")
    remove(host, purge=True)
    assert host.at(TOML).is_symlink()
    assert host.at("/etc/passwd").exists()
    assert tmp_path.exists()
