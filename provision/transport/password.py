"""A sudo password that hosts share. One typing mistake must not become a wrong attempt on every one of them.

With a directory behind sudo (LDAP, Active Directory) all hosts count the attempts of one account, and lock it after
three.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from provision.errors import BecomeError
from provision.transport import Secret


class PasswordRefusedError(BecomeError):
    """A host has asked for the password, got it, and did not accept it."""


class Password(Secret):
    """Goes to one host at a time until one has accepted it. Once refused before that, it goes to no other host."""

    __slots__ = ("_accepted", "_refused_by", "_turn")

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self._turn = threading.Lock()
        self._accepted = False
        self._refused_by = ""

    @contextmanager
    def attempt(self, name: str, listening: Callable[[], bool]) -> Iterator[None]:
        """Around the sending of the password to a host, and its verdict: no error means that it was accepted.

        Waits for the verdict of the host that has it, while `listening`. Raises BecomeError if that was a refusal.
        """
        mine = False
        while not (self._accepted or self._refused_by or mine) and listening():
            mine = self._turn.acquire(timeout=0.1)
        try:
            if self._refused_by:
                raise BecomeError(
                    f"{name}: the sudo password was not tried",
                    cause=f"{self._refused_by} did not accept it, and the attempts on one account add up.",
                    hint="Run again with the right one; a host with another has sudo_password_command in its section.",
                )
            yield
            self._accepted = True
        except PasswordRefusedError:
            if not self._accepted:
                self._refused_by = name
            raise
        finally:
            if mine:
                self._turn.release()
