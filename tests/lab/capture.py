"""A program on a terminal of a given size, and a picture of what it printed there."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

# Rich's own, without the fonts that it would load from the network.
_SVG: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: arial; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def capture(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], columns: int = 100, lines: int = 40
) -> str:
    """What the program wrote to its terminal until it ended, colours and all."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    words = [str(word) for word in command]
    environment = {**env, "TERM": "xterm-256color"}
    with subprocess.Popen(
        words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        written = io.BytesIO()
        while chunk := _read(ours):
            written.write(chunk)
    os.close(ours)
    return written.getvalue().decode(errors="replace").replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: nobody has the other end open any more
        return b""


def svg(typed: str, shown: str, *, columns: int = 100) -> str:
    """A picture of a terminal in which `typed` was entered and `shown` came of it."""
    console = Console(
        record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text.assemble(("$ ", "bold green"), (typed, "bold")), soft_wrap=True)
    console.print(Text.from_ansi(shown.rstrip("\n")), soft_wrap=True)
    return console.export_svg(title=typed, code_format=_SVG, unique_id="screen")
