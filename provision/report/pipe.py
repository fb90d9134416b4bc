"""A reader of our output may stop early (`| head`): that changes neither the work nor the exit code."""

from __future__ import annotations

import os
from typing import IO


def flush(stream: IO[str]) -> None:
    """Write out what the stream still holds; a reader that is gone is no error."""
    try:
        stream.flush()
    except BrokenPipeError:
        silence(stream)


def silence(stream: IO[str]) -> None:
    """Send what is still written to the stream nowhere.

    Otherwise Python would complain at its end, when it flushes once more, and end with exit code 120
    (docs.python.org/3/library/signal.html#note-on-sigpipe).
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
