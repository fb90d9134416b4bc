"""What a session that goes wrong tells its user."""

from __future__ import annotations

from collections.abc import Sequence

from provision.errors import BecomeError, ConnectionLostError, DeadlineError


def wrong_password(name: str) -> BecomeError:
    """It was asked for a second time."""
    return BecomeError(
        f"{name}: sudo did not accept the password",
        cause="It is wrong. One attempt was made.",
        hint="Give the password of the login user on that host.",
    )


def no_answer_from_sudo(name: str, said: str) -> BecomeError:
    """The password was sent, and then nothing."""
    return BecomeError(
        f"{name}: sudo did not answer",
        cause=_last(said) or "It waits for something else than a password (a token, a finger).",
        hint="Allow the login user sudo with a password or without one (NOPASSWD).",
    )


def overdue(name: str, timeout: float, said: str, records: Sequence[str]) -> DeadlineError:
    """The far end ended a script because its time was up."""
    return DeadlineError(
        f"{name}: not finished after {timeout:g} s; what ran there was ended",
        cause=_last(said) or (f"The last it said: {records[-1]}" if records else ""),
        hint="See why it is slow, or give it more time: --timeout SECONDS.",
    )


def stuck(name: str) -> DeadlineError:
    """Not even the far end's own clock was heard of."""
    return DeadlineError(
        f"{name}: no answer, and the time is up",
        cause="The link or the host is stuck; what ran there ends by the host's own clock.",
        hint="See whether the host is alive, then run again.",
    )


def lost(name: str, said: str) -> ConnectionLostError:
    """The stream ended before the script did."""
    return ConnectionLostError(
        f"{name}: the link broke while a script ran there",
        cause=_last(said) or "The network failed, the host went down, or its sshd was stopped.",
        hint="The step it was in is finished there, and no other begun. Run again: it goes on.",
    )


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
