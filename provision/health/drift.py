"""What this tool has put on the host, compared with what it would put there now for the release in use. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provision import paths
from provision.buildkit.daemon import read_config
from provision.facts import Facts
from provision.facts.managers import reading, service_manager
from provision.fix import PROVISION, Fix
from provision.health.finding_table import finding
from provision.placed import current, lost, placed
from provision.placed.changes import file_change, link_change
from provision.result import Finding
from provision.spec import Spec


def findings(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """At most one for the settings that no daemon can read, and one for all that differs."""
    return (*_settings(spec, facts), *_drift(spec, facts))


def _settings(spec: Spec, facts: Facts) -> Iterator[Finding]:
    if _unreadable(facts):
        service = service_manager(spec, facts).service
        evidence = f"{paths.CONFIG} is no TOML"
        yield finding(
            "settings-broken", "error", evidence, f"the next start of {service} fails", Fix.by(PROVISION)
        )


def _unreadable(facts: Facts) -> bool:
    file = facts.files.get(paths.CONFIG)
    return file is not None and read_config(file.text or "") is None


def _drift(spec: Spec, facts: Facts) -> Iterator[Finding]:
    found = (*_of_release(spec, facts), *_of_group(spec, facts))
    if found:
        gone = any(each.gone for each in found)
        yield finding(
            "drift",
            "error" if gone else "warning",
            "; ".join(each.seen for each in found),
            "the next start of buildkitd, or the next boot, fails or is without its settings"
            if gone
            else "the host is not as the configuration says",
            Fix.by(PROVISION, words="`plan` shows the lines"),
        )


@dataclass(frozen=True, kw_only=True)
class _Difference:
    seen: str
    gone: bool = False
    """Whether the next start of buildkitd, or the next boot, fails by it."""


def _of_release(spec: Spec, facts: Facts) -> Iterator[_Difference]:
    """Each fault is said once: what has a finding of its own is left out."""
    installed = current(facts)
    if installed is None:
        link = facts.files.get(paths.CURRENT)
        seen = f"leads to {link.target or 'no release'}" if link else "is gone"
        yield _Difference(seen=f"{paths.CURRENT} {seen}", gone=link is None or lost(facts))
        return
    wanted = placed(spec, facts, installed)
    manager, service = service_manager(spec, facts), reading(spec, facts).service
    programs = {each.path for each in wanted.files if each.mode & 0o111}
    changes = {
        **{each.path: file_change(each.path, each.text, facts, each.mode) for each in wanted.files},
        **{each.path: link_change(each, facts) for each in wanted.links},
    }
    for path, change in changes.items():
        if change is None or (path == paths.CONFIG and _unreadable(facts)):
            continue
        if path == manager.path and service.state == "missing":
            continue
        gone = change.action == "create"
        stopped = not gone and path in programs and not facts.files[path].mode & 0o111
        words = "is gone" if gone else "may not be run" if stopped else "differs"
        # The link for people is no part of a start.
        yield _Difference(seen=f"{path} {words}", gone=(gone or stopped) and path != paths.BUILDCTL)


def _of_group(spec: Spec, facts: Facts) -> Iterator[_Difference]:
    group = spec.buildkit.group
    if group not in facts.groups:
        yield _Difference(seen=f"the group {group} is gone", gone=True)
    elif lacking := [user for user in spec.buildkit.users if user not in facts.groups[group]]:
        yield _Difference(seen=f"the group {group} is without {', '.join(lacking)}")
