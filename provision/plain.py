"""Text of a host, made safe to show: on a terminal, on a page, in a log."""

from __future__ import annotations

import re
from typing import Final

# C0 without tab and newline, DEL, C1, the bidirectional overrides (they reorder a whole line), surrogates.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """The text without characters that a terminal would obey."""
    return _CONTROL.sub("�", text.replace("\r\n", "\n"))
