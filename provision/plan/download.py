"""Who downloads a release: the host itself, or this machine, which then sends it. Pure."""

from __future__ import annotations

from provision.buildkit.release import Release
from provision.buildkit.source import is_url
from provision.facts import Facts
from provision.plan.target import Target


def obstacle(release: Release, facts: Facts) -> str:
    """Why the host cannot download the release itself; empty if it may be able to."""
    if release.built:
        return "this machine builds it"
    if not is_url(release.location):
        return "the mirror is a folder on this machine"
    if "@" in release.location.split("/")[2]:
        return "the mirror's URL holds a login, which would stand in a command line there"
    if not facts.tools & {"curl", "wget"}:
        return "it has neither curl nor wget"
    return ""


def host_fetches(target: Target) -> bool:
    """Whether the host downloads its release itself. This machine has it already, or gets it into its own cache."""
    if target.spec.buildkit.fetch == "auto":
        return not target.local and not obstacle(target.known_release(), target.facts)
    return target.spec.buildkit.fetch == "host"
