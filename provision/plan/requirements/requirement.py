"""What a requirement is: something a host needs, and a function that tells whether the host has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provision.errors import HostError, ProvisionError
from provision.fix import NO_FIX, Fix
from provision.plan.target import Target
from provision.result import CheckLine, CheckStatus

Judge = Callable[[Target], "Verdict"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was seen on one host. Made by `met`, `doubtful` and `unmet`."""

    status: CheckStatus
    seen: str
    fix: Fix = NO_FIX
    error: ProvisionError | None = None
    """The error itself, where the requirement found one."""


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One thing that a host needs. An `error` is raised by `plan` and `provision` where it is not met."""

    id: str
    needed: str
    """A noun phrase: "Linux 4.8 or newer, for …"."""
    judge: Judge
    error: type[ProvisionError]

    def line(self, target: Target) -> CheckLine:
        """The line of `check`."""
        verdict = self.judge(target)
        return CheckLine(
            id=self.id, status=verdict.status, seen=verdict.seen, needed=self.needed, fix=verdict.fix
        )

    def enforce(self, target: Target) -> None:
        """Raise the error of a requirement that is not met; its words are those of the line."""
        verdict = self.judge(target)
        if verdict.status == "error":
            raise verdict.error or self.error(
                verdict.seen, cause=f"this tool needs {self.needed}", fix=verdict.fix
            )


def requirement(
    name: str, *, needed: str, error: type[ProvisionError] = HostError
) -> Callable[[Judge], Requirement]:
    """Make a function from Target to Verdict a requirement with this id."""
    return lambda judge: Requirement(id=name, needed=needed, judge=judge, error=error)


def met(seen: str) -> Verdict:
    """The host has it, or does not need it."""
    return Verdict(status="ok", seen=seen)


def doubtful(seen: str, *, fix: Fix) -> Verdict:
    """Provisioning goes on: it fixes this itself, or builds will be slow or may fail."""
    return Verdict(status="warning", seen=seen, fix=fix)


def unmet(seen: str, *, fix: Fix) -> Verdict:
    """Provisioning cannot succeed: nothing is changed on such a host."""
    return Verdict(status="error", seen=seen, fix=fix)


def refused(error: ProvisionError) -> Verdict:
    """`unmet`, with an error that was raised where the reason is known."""
    seen = f"{error.message}: {error.cause}" if error.cause else error.message
    return Verdict(status="error", seen=seen, fix=error.fix or Fix(words=error.hint), error=error)
