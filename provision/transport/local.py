"""This machine, by the same session as any other."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import suppress

from provision import user_folders
from provision.errors import BecomeError, ProvisionError
from provision.transport import Secret, Sudo
from provision.transport.become import opening, refusal
from provision.transport.session import Session, SessionTransport


class Local(SessionTransport):
    """This machine. With `become` its scripts run as root, by sudo where needed, which may ask on the terminal."""

    def __init__(
        self,
        *,
        become: bool = True,
        password: Secret | None = None,
        within: tuple[str, ...] = (),
        name: str = "localhost",
    ) -> None:
        """`within` is a program that runs the words after it somewhere else: unshare, chroot, nsenter."""
        super().__init__(name, local=True)
        self._within = within
        self._sudo: Sudo = "always" if become and os.geteuid() != 0 else "never"
        self._password = password

    def _start(self) -> Session:
        """Proves that the session is root. Raises BecomeError before anything else happens.

        sudo keeps its ticket per terminal and session (sudoers(5), timestamp_type). So after sudo has asked on
        the terminal, the sh must belong to the terminal's session, in a process group of its own.
        """
        try:
            return self._prove(own_session=True)
        except BecomeError:
            if self._sudo == "never" or self._password or not sys.stdin.isatty() or not shutil.which("sudo"):
                raise
            if subprocess.run([*self._within, "sudo", "-v"], check=False).returncode:
                raise
            return self._prove(own_session=False)

    def _prove(self, *, own_session: bool) -> Session:
        begin = opening(self._sudo, self._password)
        process = _Process((*self._within, *begin.command), own_session=own_session)
        session = Session(self.name, process, begin, self._refusal)
        try:
            session.prove()
        except BaseException:
            session.close()
            raise
        return session

    def _refusal(self, output: str, status: int | None) -> ProvisionError:
        return refusal(self.name, user_folders.own_name(), output, status)


class _Process:
    """A sh of this machine behind socket pairs, as under sshd: any thread can end them, or half of one."""

    def __init__(self, command: tuple[str, ...], *, own_session: bool) -> None:
        pairs = [socket.socketpair() for _ in range(3)]
        self._stdin, self._stdout, self._stderr = (near for near, _ in pairs)
        stdin, stdout, stderr = (far.fileno() for _, far in pairs)
        try:
            # A terminal's Ctrl-C must not reach it, so it is in no process group of ours.
            self._process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd="/",
                start_new_session=own_session,
                preexec_fn=None if own_session else os.setpgrp,  # noqa: PLW1509 - process_group= needs 3.11
            )
        finally:
            for _, far in pairs:
                far.close()

    def read(self) -> bytes:
        return self._stdout.recv(65536)

    def read_error(self) -> bytes:
        return self._stderr.recv(65536)

    def send(self, data: bytes, timeout: float) -> int:
        self._stdin.settimeout(timeout)
        try:
            return self._stdin.send(data)
        except TimeoutError:
            return 0

    def finish(self) -> None:
        self._stdin.shutdown(socket.SHUT_WR)

    def status(self) -> int | None:
        try:
            return self._process.wait(2)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        for end in (self._stdin, self._stdout, self._stderr):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads; close() alone does not
            end.close()
        # The script's last step may take a while. Nobody waits for it, but the process must be reaped.
        threading.Thread(target=self._process.wait, daemon=True).start()
