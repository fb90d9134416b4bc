"""What Go answers when it fails, and what that means. It exits with 1 for most of them."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Final

from provision.buildkit.errors import StoppedBuildError
from provision.errors import ChecksumError, ReleaseError


@dataclass(frozen=True)
class _Known:
    words: str
    cause: str
    hint: str


_AGAIN: Final = "Run it again."
_PROXY: Final = (
    "Set GOPROXY to a Go proxy that this machine reaches, and https_proxy if this network needs one."
)

# The first that fits counts. Texts: go1.26 and go1.27 (cmd/go/internal/modfetch, golang.org/x/mod, net).
_KNOWN: Final = (
    _Known(
        r"no space left on device|disk quota exceeded",
        "the disk is full",
        "Make room for about 2 GB in the cache folder (XDG_CACHE_HOME), then run it again.",
    ),
    _Known(
        r"verifying .*: (?:initializing sumdb\.Client|.*(?:/lookup/|/tile/|/latest|sumdb)).*",
        "Go's checksum database cannot be reached, and nothing is built unverified",
        "Use a Go proxy that passes the database on (GOPROXY), name a mirror of it (GOSUMDB), or take the version "
        "whose checksums come with this tool.",
    ),
    _Known(
        r"invalid version: unknown revision|no matching versions for query|404 Not Found|410 Gone|invalid version:",
        "the Go proxy has no such version",
        "Check the version's number, and what GOPROXY names.",
    ),
    _Known(
        r"not a valid zip file|(?<!syntax error: )unexpected EOF|connection reset by peer|content-length|stream error",
        "a download was cut",
        _AGAIN,
    ),
    _Known(
        r"requires go >= |toolchain not available|invalid toolchain|unknown directive: tool",
        "it needs a newer Go, which could not be fetched",
        "Install that Go, or set GOPROXY to a Go proxy that has toolchains.",
    ),
    _Known(
        r"no such host|i/o timeout|connection refused|network is unreachable|no route to host|proxyconnect|"
        r"TLS handshake|x509:|module lookup disabled|deadline exceeded|server misbehaving|50[0-9] ",
        "the Go proxy cannot be reached",
        _PROXY,
    ),
    _Known(
        r"unsupported GOOS/GOARCH pair|build constraints exclude all Go files",
        "Go or BuildKit does not know this processor",
        "Use another machine.",
    ),
    _Known(
        r"signal: killed|cannot allocate memory|out of memory",
        "there was not enough memory: a build needs about 1.5 GB",
        "Add memory or swap on this machine, or run it from a larger one with --hosts.",
    ),
)


def explain(purpose: str, status: int, errors: str) -> ReleaseError:
    """The error that this exit status and these words of Go amount to. `purpose` is what was to be had.

    A module that is not what its checksum says is a ChecksumError; a build that Ctrl-C ended a StoppedBuildError.
    """
    words = _without_logins(errors)
    if status == -signal.SIGINT or "signal: interrupt" in words:
        return StoppedBuildError(f"the build of {purpose} was interrupted", hint="Run it again.")
    if re.search(r"checksum mismatch|SECURITY ERROR", words):
        return _mismatch(purpose, words)
    for known in _KNOWN:
        if found := re.search(rf"^.*(?:{known.words}).*$", words, re.MULTILINE):
            return ReleaseError(
                f"{purpose} cannot be built: {known.cause}", cause=found[0].strip(), hint=known.hint
            )
    if status < 0:
        return ReleaseError(
            f"{purpose} cannot be built: Go was ended", cause=f"by signal {-status}", hint="Run it again."
        )
    return _unknown(purpose, words)


def _mismatch(purpose: str, words: str) -> ChecksumError:
    # In a module "M@V: verifying module: …", in a go.mod "verifying M@V/go.mod: …".
    module = re.search(r"(\S+)@(v\S+?)(?:/go\.mod)?: (?:verifying [a-z.]+: )?checksum mismatch", words)
    name = f"{module[1]} {module[2]}" if module else "a Go module"
    return ChecksumError(
        f"{name} is not what its checksum says, so {purpose} is not built",
        cause="the Go proxy sent another module than the one that was published: it was cut or tampered with",
        hint="Nothing was built or changed. Look at the Go proxy (GOPROXY).",
    )


def _unknown(purpose: str, words: str) -> ReleaseError:
    """The compiler's first complaint is the cause ("file.go:12:3: undefined: x"), else the last line."""
    lines = [line.strip() for line in words.splitlines() if " " in line.strip()]
    hint = "Choose another version (--buildkit-version)."
    for line in lines:
        if re.match(r"\S+\.(?:go|s):\d+:", line):
            return ReleaseError(f"{purpose} does not compile", cause=line, hint=hint)
    real = [line for line in lines if not line.startswith("go: downloading")]
    return ReleaseError(
        f"{purpose} cannot be built", cause=real[-1] if real else "Go gave no reason", hint=hint
    )


def _without_logins(text: str) -> str:
    """GOPROXY may hold a password, and Go quotes it."""
    return re.sub(r"://[^/\s@\"]*@", "://", text)
