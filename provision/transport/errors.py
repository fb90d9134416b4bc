"""The errors of a session that fails. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from provision.errors import BecomeError, ConnectionLostError, DeadlineError


def wrong_password(name: str) -> BecomeError:
    """Sudo asked for the password a second time."""
    return BecomeError(
        f"{name}: sudo did not accept the password",
        cause="It is wrong. One attempt was made.",
        hint="Give the password of the login user on that host.",
    )


def no_answer_from_sudo(name: str, output: str) -> BecomeError:
    """The password was sent, and nothing came back in time."""
    return BecomeError(
        f"{name}: sudo did not answer",
        cause=_last_line(output) or "It waits for something other than a password (a token, a finger).",
        hint="Allow the login user sudo with a password or without one (NOPASSWD).",
    )


def overdue(name: str, timeout: float, stderr: str, records: Sequence[str]) -> DeadlineError:
    """The far end ended a script because its time was up."""
    return DeadlineError(
        f"{name}: not finished after {timeout:g} s; what ran there was ended",
        cause=_last_line(stderr) or (f"Its last line of output: {records[-1]}" if records else ""),
        hint="See why it is slow, or give it more time: --timeout SECONDS.",
    )


def stuck(name: str) -> DeadlineError:
    """The far end did not even report that it ended the script."""
    return DeadlineError(
        f"{name}: no answer, and the time is up",
        cause="The link or the host is stuck; the host ends the script there by its own clock.",
        hint="See whether the host is alive, then run again.",
    )


def lost(name: str, output: str) -> ConnectionLostError:
    """The stream ended before the script did."""
    return ConnectionLostError(
        f"{name}: the link broke while a script ran there",
        cause=_last_line(output) or "The network failed, the host went down, or its sshd was stopped.",
        hint="The host finishes the step in progress and begins no other. Run again: finished steps are kept.",
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
