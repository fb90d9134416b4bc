"""Frames, passwords and refusals: the parts of a session that need no process."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import BecomeError, HostError
from provision.render import render
from provision.transport import Secret
from provision.transport.become import opening, refusal
from provision.transport.stream import End, Errors, Frames

NONCE = "0123456789abcdef"
READY = f"{NONCE} ready\n".encode()
LINES = st.lists(st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"])), max_size=8)


def mark(status: int, verdict: str = "ended") -> bytes:
    return f"\0{NONCE} {status} {verdict}\n".encode()


@given(
    noise=st.binary(max_size=40),
    lines=LINES,
    status=st.integers(0, 255),
    overdue=st.booleans(),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_frames_are_the_same_however_the_bytes_arrive(
    noise: bytes, lines: list[str], status: int, overdue: bool, cuts: list[int]
) -> None:
    data = noise + READY + "".join(f"{line}\n" for line in lines).encode()
    data += mark(status, "overdue" if overdue else "ended")
    frames, items = Frames(NONCE), []
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in pairwise(edges):
        items += frames.feed(data[start:end])
    assert items == [*lines, End(status=status, overdue=overdue)]


def test_a_last_line_without_newline_is_a_record() -> None:
    frames = Frames(NONCE)
    assert frames.feed(READY + b"whole\npart" + mark(0)) == ["whole", "part", End(status=0, overdue=False)]


def test_what_comes_before_the_ready_line_is_noise_but_can_be_shown() -> None:
    frames = Frames(NONCE)
    assert frames.feed(b"Welcome!\nThis account is closed.\n") == []
    assert "account is closed" in frames.rest
    assert frames.feed(b"no newline" + READY + b"x\n") == ["x"]


def test_standard_error_that_comes_along_is_told_from_the_script_s_lines() -> None:
    """Through an audit that ends in `2>&1`."""
    frames = Frames(NONCE)
    error_mark = f"\0{NONCE}\n".encode()
    assert frames.feed(READY + b"whole\noops" + error_mark + mark(0)) == [
        "whole",
        "oops",
        End(status=0, overdue=False),
    ]
    assert frames.merged
    assert frames.feed(error_mark + mark(1)) == [End(status=1, overdue=False)]


def test_another_nonce_marks_nothing() -> None:
    frames = Frames(NONCE)
    assert frames.feed(READY + b"\0fedcba 0 ended\n") == ["\0fedcba 0 ended"]


def test_bytes_that_are_not_utf8_show() -> None:
    assert Frames(NONCE).feed(READY + b"caf\xe9\n") == ["caf\\xe9"]


def test_standard_error_is_bounded_and_belongs_to_its_script() -> None:
    errors = Errors(NONCE, limit=100)
    for _ in range(50):
        errors.feed(b"something long\n")
    before = errors.ended
    errors.feed(b"the last\n\0" + NONCE.encode() + b"\nof the next")
    assert (before, errors.ended) == (False, True)
    first = errors.take()
    assert first.endswith("the last\n")
    assert len(first) <= 100
    assert errors.text == "of the next"


@pytest.mark.parametrize("printed", ["fatal: unrecognized command 'exec sh -c 'set -- sudo -n' sh'"])
def test_a_command_that_is_repeated_is_no_verdict_of_sudo(printed: str) -> None:
    assert "gave no shell" in refusal("pi", "ci", printed, 128).message
    assert "sudo failed" in refusal("pi", "ci", "sudo: sh: command not found", 1).message


def test_a_secret_shows_nowhere() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {secret.__dict__ if hasattr(secret, '__dict__') else ''}"
    assert secret.reveal() == "hunter2"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy([secret])


def test_the_command_holds_no_password() -> None:
    begin = opening("always", Secret("hunter2"))
    assert "hunter2" not in repr(begin)
    assert "hunter2" not in begin.greeting.decode()
    # The question is not in the command, which a host may print as it is.
    assert not re.search(re.escape(begin.nonce), begin.command[2])
    printed = subprocess.run(
        [
            "sh",
            "-c",
            begin.command[2].replace("sudo -S -p", "printf %s").replace('exec "$@" sh -c "$0"', '"$@"'),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = begin.question.search(f"We trust you.\n{printed.replace('%p', 'eve')}")
    assert found
    assert found[1] == "eve"


def test_what_a_login_shell_reads_is_short_and_plain() -> None:
    """csh, fish and nushell quote otherwise: no newline, backslash, single quote or "!" may stand in the words."""
    for sudo in ("always", "auto", "never"):
        for password in (None, Secret("x")):
            words = opening(sudo, password).command
            assert len(" ".join(words)) < 500
            assert not any(char in words[3] for char in "\n\\'!"), words[3]
            assert not any(char in words[2] for char in "\n\\'!"), words[2]


@pytest.mark.parametrize("password", ["two\nlines", "carriage\rreturn", "nul\0"])
def test_a_password_is_one_line(password: str) -> None:
    with pytest.raises(BecomeError, match="not one line") as caught:
        opening("always", Secret(password))
    assert password not in str(caught.value)


@pytest.mark.parametrize("sudo", ["always", "auto", "never"])
@pytest.mark.parametrize("halves", [(), ("0123", "4567")])
def test_sudo_is_used_as_told(sudo: str, halves: tuple[str, ...]) -> None:
    text = render("become.sh", sudo=sudo, halves=halves)
    assert ("sudo" in text) == (sudo != "never")
    assert ("id -u" in text) == (sudo == "auto")
    assert ("sudo -n" in text) == (sudo != "never" and not halves)


SAID = [
    ("sudo: a password is required", "asks for a password"),
    ("sudo: interactive authentication is required", "asks for a password"),  # sudo-rs
    (
        "Sorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt",
        "did not accept",
    ),
    ("sudo: Authentication failed, try again.", "did not accept"),  # sudo-rs
    ("eve is not in the sudoers file.", "may not become root"),
    ("Sorry, user eve is not allowed to execute '/usr/bin/sh -c x' as root on box.", "may not become root"),
    ("sudo: I'm sorry eve. I'm afraid I can't do that", "may not become root"),  # sudo-rs
    ("sudo: something that nobody knows", "sudo failed"),
    ("WARNING: Your password has expired.\nPassword change required but no TTY available.", "has expired"),
    ("sudo: Account or password is expired, reset your password and try again", "has expired"),
    ("sudo: sorry, you must have a tty to run sudo", "from a terminal only"),
    ("sh: 1: exec: sudo: not found", "there is no sudo"),
    ("doas: Authentication required", "doas asks for a password"),
    ("doas: Operation not permitted", "may not become root"),
    ("bash: line 1: exec: sudo: command not found", "there is no sudo"),
    ('sudo: The "no new privileges" flag is set, which prevents sudo from running as root.', "cannot work"),
    ("sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set", "cannot work"),
    ("sudo: account validation failure, is your account locked?", "locked"),
]


@pytest.mark.parametrize(("said", "message"), SAID)
def test_a_refusal_is_explained(said: str, message: str) -> None:
    error = refusal("box", "eve", said, 1)
    assert isinstance(error, BecomeError)
    assert message in error.message
    assert error.message.startswith("box: ")
    assert error.hint
    assert "{" not in error.hint


def test_a_login_without_a_shell_is_no_matter_of_sudo() -> None:
    error = refusal("box", "eve", "This account is currently not available.", 1)
    assert type(error) is HostError
    assert "not available" in error.cause
