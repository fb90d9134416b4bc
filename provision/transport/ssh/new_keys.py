"""Host keys that a run accepts though known_hosts does not have them, as `StrictHostKeyChecking accept-new` has it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from provision.transport.ssh.config import Endpoint
from provision.transport.ssh.known_hosts import HostKey, Known, add


class NewKeys:
    """What a run has accepted. For any thread.

    The keys are kept here as well as in known_hosts, which may be /dev/null: a host that is called twice must show the
    same key.
    """

    def __init__(self, say: Callable[[str], None], *, accept: bool = False) -> None:
        """`accept`: from every host. Without it, from hosts whose SSH configuration says so."""
        self._say = say
        self._accept = accept
        self._accepted: dict[str, HostKey] = {}
        self._lock = threading.Lock()

    def added_to(self, facts: Known, name: str) -> Known:
        """What is known of a host, with what was accepted in this run."""
        with self._lock:
            key = self._accepted.get(name)
        return replace(facts, keys=(*facts.keys, key), without_port=False) if key else facts

    def accept(self, name: str, end: Endpoint, shown: HostKey) -> bool:
        """Whether an unknown key is to be trusted from now on. Then it is said, and kept."""
        if not (self._accept or end.accept_new):
            return False
        with self._lock:
            if end.key_name not in self._accepted:
                self._accepted[end.key_name] = shown
                self._say(f"{name}: new host key of {end.key_name}: {shown}, {_keep(end, shown)}")
            return self._accepted[end.key_name].blob == shown.blob

    def say_of_jump_hosts(self, name: str, output: str) -> None:
        """What `ssh` said of the keys that it added."""
        for line in output.splitlines():
            if line.startswith("Warning: Permanently added"):
                self._say(f"{name}: {line.removeprefix('Warning: ').strip()}")


def _keep(end: Endpoint, shown: HostKey) -> str:
    """Adds a key to the first known_hosts file, and says what became of it."""
    file = end.known_hosts[0]
    if file.exists() and not file.is_file():
        return f"kept for this run only: {file} is no file"
    try:
        add(file, [shown], hashed=end.hash_names)
    except OSError as error:
        return f"kept for this run only: {file} cannot be written ({error.strerror or error})"
    return f"added to {file}"
