"""Layers unpacked as they come: gzip, zstd or plain, told apart by their first bytes, as clients do.

zstd is in Python's library from 3.14 on; before that the package `backports.zstd` (the extra `zstd`) or the
program `zstd` does it, whichever is there: the package has no wheel for 32-bit ARM.
"""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import sys
import threading
import zlib
from contextlib import suppress
from importlib.util import find_spec
from typing import IO, Any, Final, cast

from provision.errors import ProvisionError
from provision.images.faults import FaultError
from provision.images.streams import CHUNK, Source
from provision.lazy import LazyModule

MAGIC_SIZE: Final = 4
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE: Final = (b"\x50\x2a\x4d\x18", 0xF0)  # of zstd: any of 16, RFC 8878 3.1.2
_WINDOW_LOG: Final = 27
"""Memory of 128 MiB, which zstd(1) grants by default; builders use 8 MiB at most."""

LARGEST: Final = 64 << 30
"""Bytes of a layer, unpacked."""
PLAUSIBLE: Final = 4 << 30
"""Up to here a layer may shrink as much as it likes: a file of zeros does, by a thousand."""
RATIO: Final = 250


class UnpackError(ProvisionError):
    """This machine cannot unpack a layer that others can."""

    code = "unpack"


class Unpacked:
    """The bytes of a layer. Raises FaultError for what is damaged, or has no plausible end."""

    def __init__(self, source: Source) -> None:
        self._counted = _Counted(source)
        self._stream: Source | None = None
        self.size = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; empty at the end."""
        try:
            if self._stream is None:
                self._stream = _opened(self._counted)
            data = self._stream.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FaultError("layer-damaged", f"it cannot be unpacked: {error}") from error
        except Exception as error:
            if type(error).__name__ != "ZstdError":  # of whichever module there is
                raise
            raise FaultError("layer-damaged", f"it cannot be unpacked: {error}") from error
        self.size += len(data)
        bomb = self.size > PLAUSIBLE and self.size > RATIO * self._counted.size
        if bomb or self.size > LARGEST:
            sizes = f"{self.size >> 30} GiB and more out of {self._counted.size} bytes"
            raise FaultError("layer-hostile", f"it unpacks to {sizes}")
        return data

    def close(self) -> None:
        """Ends what unpacks it."""
        if isinstance(self._stream, _Program):
            self._stream.close()


class _Counted:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._ahead = b""
        self.size = 0

    def peek(self) -> bytes:
        while len(self._ahead) < MAGIC_SIZE and (data := self._source.read(CHUNK)):
            self._ahead += data
        return self._ahead[:MAGIC_SIZE]

    def read(self, size: int = -1) -> bytes:
        data = self._ahead[:size] if self._ahead else self._source.read(size)
        self._ahead = self._ahead[len(data) :]
        self.size += len(data)
        return data


def _opened(source: _Counted) -> Source:
    start = source.peek()
    if start.startswith(_GZIP):
        # It asks for a few kilobytes at a time, whatever it is asked for.
        return gzip.GzipFile(fileobj=cast("IO[bytes]", io.BufferedReader(_Raw(source), CHUNK)))
    tail, mask = _SKIPPABLE
    if start == _ZSTD or (len(start) == MAGIC_SIZE and start[0] & mask == tail[0] and start[1:] == tail[1:]):
        return _zstd(source)
    return source


class _Raw(io.RawIOBase):
    def __init__(self, source: _Counted) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _zstd(source: _Counted) -> Source:
    if module := _module():
        options = {module.DecompressionParameter.window_log_max: _WINDOW_LOG}
        return cast("Source", module.ZstdFile(source, "rb", options=options))
    if program := shutil.which("zstd"):
        return _Program(program, source)
    raise UnpackError(
        "a layer is packed with zstd, and nothing here unpacks that",
        cause="Python has it from 3.14 on",
        hint="apt-get install zstd, or pip install backports.zstd",
    )


def _module() -> Any:
    """The module that unpacks zstd; None where Python has none."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    with suppress(ModuleNotFoundError):  # the package around it is missing
        return LazyModule(name) if find_spec(name) else None
    return None


class _Program:
    """`zstd -dc`, fed by a thread of its own as its pipes hold only little."""

    def __init__(self, program: str, source: _Counted) -> None:
        self._process = subprocess.Popen(
            [program, "-dc", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        pipes = self._process.stdin, self._process.stdout, self._process.stderr
        self._input, self._output, self._words = (cast("IO[bytes]", pipe) for pipe in pipes)
        self._source = source
        self._problem: BaseException | None = None
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()

    def _feed(self) -> None:
        try:
            while data := self._source.read(CHUNK):
                self._input.write(data)
        except BrokenPipeError:
            pass  # its own words, or our end, say why
        except BaseException as error:  # noqa: BLE001 - raised again by `read`
            self._problem = error
        with suppress(OSError):
            self._input.close()

    def read(self, size: int) -> bytes:
        if data := self._output.read(size):
            return data
        self._feeder.join()
        words = self._words.read().decode(errors="replace").strip()
        if self._problem:
            raise self._problem
        if self._process.wait():
            raise EOFError(words or "zstd failed")
        return b""

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._feeder.join()
        self._output.close()
        self._words.close()
