"""A build of BuildKit on this machine, for a host that gets no release."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from provision.buildkit import choice
from provision.buildkit.errors import StoppedBuildError
from provision.buildkit.release import Release, Unbuilt
from provision.errors import ProvisionError
from provision.hosts.interruption import Interruption
from provision.plan.download import host_fetches
from provision.plan.requirements import require
from provision.plan.target import Target
from provision.report.progress import Progress
from provision.transport import StoppedError


@dataclass(frozen=True, kw_only=True)
class BuildProgress:
    """A build's stages as steps of a host."""

    host: str
    progress: Progress
    interruption: Interruption = field(default_factory=Interruption)

    def go_on(self) -> None:
        """Raises StoppedError when the command is to end."""
        self.interruption.require_none()

    def begin(self, stage: str, text: str) -> None:
        """A stage has begun."""
        self.progress.step(self.host, stage, "begin", text)

    def count(self, stage: str, done: int, total: int | None) -> None:
        """`done` of `total` things of the stage are done."""
        self.progress.count(self.host, stage, done, total)

    def end(self, stage: str) -> None:
        """A stage has succeeded."""
        self.progress.step(self.host, stage, "done", "")


def with_release(
    target: Target, host: str, cache: Path, progress: Progress, interruption: Interruption
) -> Target:
    """The target with a release that can be installed: what has to be built is built now, which takes minutes.

    Raises the error of a requirement that is not met before anything is built, or the error of the build.
    """
    target = replace(target, release=interruption.while_none(lambda: _decided(target, cache)))
    wanted = target.release
    if not isinstance(wanted, Unbuilt):
        return target
    require(target)
    if wanted.why:
        progress.say(f"{host}: {wanted.why}: BuildKit is built here, from source")
    try:
        made = choice.built(
            wanted, cache, BuildProgress(host=host, progress=progress, interruption=interruption)
        )
    except StoppedBuildError as error:
        raise StoppedError(error.message, hint=error.hint) from error
    return replace(target, release=made)


def _decided(target: Target, cache: Path) -> Release | Unbuilt | ProvisionError:
    """What the host gets, once it is known whether the release host answers where this machine has to ask it."""
    release = target.release
    if not isinstance(release, Release) or release.built or not choice.may_build(target.spec.buildkit):
        return release
    if not target.unpacks or host_fetches(target) or release.digest.value in target.facts.cached:
        return release
    return choice.reachable(release, target.facts.system.machine, cache)
