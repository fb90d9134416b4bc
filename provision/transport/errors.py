"""The errors of a session that fails. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from provision.errors import BecomeError, ConnectionLostError, DeadlineError, HostError
from provision.transport.password import PasswordRefusedError


def wrong_password(name: str, whose: str) -> PasswordRefusedError:
    """Sudo asked for the password of the user `whose` again."""
    of = whose if whose not in ("", "%p") else "the login user"  # an old sudo-rs leaves %p as it is
    setting = " Its sudoers ask for root's (targetpw, rootpw or runaspw)." if of == "root" else ""
    return PasswordRefusedError(
        f"{name}: sudo did not accept the password",
        cause=f"It is wrong. One attempt was made.{setting}",
        hint=f"Give the password of {of} on that host.",
    )


def second_question(name: str) -> PasswordRefusedError:
    """Sudo asked once more, and did not say that the first answer was wrong."""
    return PasswordRefusedError(
        f"{name}: sudo asks a second question",
        cause="A second factor, or a password that was wrong without a word. Only the first question was answered.",
        hint="Give this login NOPASSWD in sudoers there, or log in as root.",
    )


def no_answer_from_sudo(name: str, output: str) -> BecomeError:
    """Neither a question nor an answer came in time."""
    if _last_line(output).endswith(":"):
        return BecomeError(
            f"{name}: sudo asks for something other than a password",
            cause=f"It ends with {_last_line(output)!r}: a question of PAM's own (a second factor, a token), or of a "
            "start-up file of the login shell.",
            hint="Give this login NOPASSWD in sudoers there, or log in as root.",
        )
    return BecomeError(
        f"{name}: sudo did not answer",
        cause=_last_line(output)
        or "It waits for something other than a password (a token, a finger), "
        "or a start-up file of the login shell waits for a line.",
        hint="Allow the login user sudo with a password or without one (NOPASSWD).",
    )


def astray(name: str) -> BecomeError:
    """Another shell than ours reads the channel."""
    return BecomeError(
        f"{name}: a start-up file of the login shell replaces the shell",
        cause="Something like `exec bash` in .bashrc: what is to run there never begins.",
        hint="Guard it, so that it holds for terminals only: [[ $- == *i* ]] && exec …",
    )


def no_shell(name: str, seconds: float, output: str) -> HostError:
    """The far sh did not come, and nothing ended."""
    return HostError(
        f"{name}: the login gave no shell within {seconds:g} s",
        cause=_last_line(output)
        or "A start-up file of the login shell waits for something, or the host is stuck.",
        hint="See what this prints, and whether it ends: ssh HOST true",
    )


def nonsense(name: str, what: str) -> HostError:
    """The host's output cannot be that of the program which was started there."""
    return HostError(
        f"{name}: the host's answer makes no sense",
        cause=f"It holds {what}.",
        hint="Something there changes the output of ssh sessions (a ForceCommand, an audit), or the host is not sound.",
    )


def flood(name: str, most: int) -> HostError:
    """More output than anything that is asked there prints."""
    return HostError(
        f"{name}: the host sent more than {most >> 20} MiB of output",
        cause="No script of this tool prints as much: a start-up file of the login shell, or the host, is not sound.",
        hint="See what this prints: ssh HOST true",
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


def lost(name: str, output: str, status: int | None) -> ConnectionLostError:
    """The stream ended before the script did. A link that breaks brings no exit status."""
    if status is not None:
        return ConnectionLostError(
            f"{name}: the shell there ended before the script did (exit status {status})",
            cause=_last_line(output)
            or "Somebody ended it, or took its input: a start-up file of the login shell, or a ForceCommand.",
            hint="See whether this prints the word: echo word | ssh HOST cat",
        )
    return ConnectionLostError(
        f"{name}: the link broke while a script ran there",
        cause=_last_line(output) or "The network failed, the host went down, or its sshd was stopped.",
        hint="The host finishes the step in progress and begins no other. Run again: finished steps are kept.",
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
