"""The lock of a host: one run at a time changes it (templates/host/lock.sh)."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import ClassVar, Final

from provision import user_folders
from provision.errors import HostError
from provision.facts import LastRun
from provision.facts.records import Record, number
from provision.transport import StoppedError

SECONDS: Final = 20
"""How long a run waits for another one to end."""


class LockedError(HostError):
    """Another run changes the host. Nothing was changed by this one."""

    code: ClassVar[str] = "locked"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a run writes into the lock, and what it must find there."""

    token: str
    who: str
    seen: str = "any"
    """"any", or the state of the lock when the facts were asked, as templates/host/lock.sh compares it."""

    @classmethod
    def after(cls, seen: LastRun | None) -> Claim:
        """The claim of a run whose plan rests on facts that saw this."""
        return cls(token=secrets.token_hex(8), who=_caller(), seen=_expected(seen))

    @classmethod
    def whatever(cls) -> Claim:
        """The claim of a run that rests on no facts."""
        return cls(token=secrets.token_hex(8), who=_caller())


def _expected(seen: LastRun | None) -> str:
    if seen is None:
        return " "
    if seen.state == "changing":
        return "nothing: the facts may be of a host that is half changed"
    return f"{seen.token} {'done' if seen.state == 'done' else 'works'}"


def _caller() -> str:
    """Who runs this, and where, for whoever meets the lock."""
    return " ".join(f"{user_folders.own_name()}@{socket.gethostname()}".split())


def waiting(record: Record) -> str:
    """What the run does that has to wait, as a clause."""
    return f"waits for {_holder(record)}"


def refusal(record: Record) -> HostError | None:
    """Why the lock was not taken; None if it was, or if the facts have to be asked again."""
    if record[0] == "busy":
        return LockedError(
            f"another run changes this host: {_holder(record)}",
            cause=f"it has not ended within {SECONDS} s",
            hint="Wait for it to end, then run this again. Nothing was changed by this run.",
        )
    if record[0] == "stopped":
        return StoppedError(f"interrupted while another run changed this host: {_holder(record)}")
    if record[0] == "failed":
        return HostError("the lock of the host cannot be written", cause="/run cannot be written to")
    return None


def _holder(record: Record) -> str:
    since = datetime.fromtimestamp(number(record[2]), timezone.utc)
    return f"that of {record[1] or 'unknown'}, since {since:%Y-%m-%d %H:%M:%S} UTC"
