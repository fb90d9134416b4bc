"""What Local and SSH have in common: one session, begun on first use."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType

from provision.transport import Answer, Listener, Payload, StoppedError, Transport
from provision.transport.session import Session


class SessionTransport(ABC, Transport):
    """A transport that is a session over some stream."""

    def __init__(self, name: str, *, local: bool) -> None:
        self.name = name
        self.local = local
        self._session: Session | None = None
        self._opening = threading.Lock()
        self._stopped = threading.Event()

    @abstractmethod
    def _start(self) -> Session:
        """Connects. See `Transport.open`."""

    def open(self) -> None:
        """See `Transport.open`."""
        self._opened()

    def _opened(self) -> Session:
        with self._opening:
            if self._stopped.is_set():
                raise StoppedError(f"{self.name}: stopped before it was asked anything")
            if self._session is None:
                self._session = self._start()
            if self._stopped.is_set():  # while it connected
                self._session.stop()
            return self._session

    def ask(
        self,
        script: str,
        *,
        timeout: float,
        payload: Payload | None = None,
        on_record: Listener | None = None,
    ) -> Answer:
        """See `Transport.ask`."""
        session = self._session or self._opened()
        return session.ask(script, timeout=timeout, payload=payload, on_record=on_record)

    def stop(self) -> None:
        """See `Transport.stop`."""
        self._stopped.set()
        if self._session:
            self._session.stop()

    def close(self) -> None:
        """See `Transport.close`."""
        if self._session:
            self._session.close()

    def __enter__(self) -> SessionTransport:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
