"""Who hears how far a build is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Watch(Protocol):
    """Hears the stages of a build, and may end it. A stage has an identifier ("build-compile") and words for people."""

    def go_on(self) -> None:
        """Called several times a second. What this raises ends the build, and nothing half-made is left."""

    def begin(self, stage: str, text: str) -> None:
        """A stage has begun."""

    def count(self, stage: str, done: int, total: int | None) -> None:
        """`done` of `total` things of the stage are done; None: the number is not known yet."""

    def end(self, stage: str) -> None:
        """A stage has succeeded. None ends after a stage that failed."""


class Nobody:
    """Hears nothing."""

    def go_on(self) -> None:
        pass

    def begin(self, stage: str, text: str) -> None:
        pass

    def count(self, stage: str, done: int, total: int | None) -> None:
        pass

    def end(self, stage: str) -> None:
        pass


@contextmanager
def stage(watch: Watch, name: str, text: str) -> Iterator[None]:
    """One stage around the work."""
    watch.begin(name, text)
    yield
    watch.end(name)
