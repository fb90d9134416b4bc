"""OpenSSH's programs are run to their end, and all that they say is read."""

from __future__ import annotations

import selectors
import time

import pytest

from provision.transport.ssh import openssh


class Busy(selectors.DefaultSelector):
    """Of a machine with so much work that a program says its words and ends between a look and what follows it."""

    looks = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.looks += 1
        if self.looks > 1 or (ready := super().select(0)):
            return super().select(timeout)
        time.sleep(1)
        return ready


def test_the_words_of_a_program_that_ends_at_once_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host's key was "not known" in one of 20 of 500 hosts: `ssh-keygen -F` had ended, and nothing was read."""
    monkeypatch.setattr(selectors, "DefaultSelector", Busy)
    done = openssh.ask(("sh", "-c", "sleep 0.2; echo word; echo error >&2; exit 3"), 20)
    assert done == openssh.Done(status=3, out="word\n", err="error\n")


def test_a_child_that_is_left_behind_is_not_waited_for() -> None:
    done = openssh.ask(("sh", "-c", "sleep 60 & echo word"), 20)  # else an EndlessError
    assert (done.status, done.out) == (0, "word\n")
