"""buildx on this machine: where it is, what it knows, and running it.

It is one program, whether Docker starts it as its plugin or a person starts it by itself. What it knows of a builder
is read from its own file, because `buildx inspect` connects to every node first. Only buildx writes there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

from provision.architectures import normalise
from provision.builder.node import Node
from provision.errors import ProvisionError

_PLUGIN: Final = "docker-buildx"
_PLUGIN_FOLDERS: Final = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
"""cli-plugins/manager of Docker's command line."""
_PATIENCE: Final = 300.0
"""Seconds for one command: buildx connects to every node of the builder, for 20 s at most to each."""
DEFAULT_SETTINGS: Final = "buildkitd.default.toml"


class BuildxError(ProvisionError):
    """buildx is not to be had, or refuses what it is told."""

    code: ClassVar[str] = "buildx"


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A builder that buildx has."""

    driver: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class Buildx:
    """A program."""

    program: Path
    config: Path | None = None
    """A folder instead of the user's own (`folder`)."""

    def run(self, *arguments: str, timeout: float = _PATIENCE, stdin: bytes = b"") -> str:
        """What it prints on standard output. Raises BuildxError with its own words."""
        done = self.ask(*arguments, timeout=timeout, stdin=stdin)
        if done.returncode:
            raise BuildxError(
                f"buildx {arguments[0]} failed", cause=last_words(done.stderr), hint="Its words say why."
            )
        return done.stdout.decode(errors="replace")

    def ask(
        self, *arguments: str, timeout: float = _PATIENCE, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """The same, however it ends. Raises BuildxError if it does not start, or does not end."""
        try:
            return subprocess.run(
                [str(self.program), *arguments],
                input=stdin,
                env={**os.environ, **({"BUILDX_CONFIG": str(self.config)} if self.config else {})},
                check=False,
                capture_output=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            raise BuildxError(
                f"buildx {arguments[0]} did not end within {timeout:g} s", hint="Run it by hand to see why."
            ) from None
        except OSError as error:
            raise BuildxError(
                f"{self.program} cannot be started",
                cause=error.strerror or type(error).__name__,
                hint="Install buildx again, or remove that file: then this tool fetches it.",
            ) from error


def find() -> Buildx | None:
    """Look for buildx as a plugin of Docker, or by itself on PATH."""
    places = [
        *(Path(folder) / _PLUGIN for folder in (docker_folder() / "cli-plugins", *_PLUGIN_FOLDERS)),
        *(Path(found) for found in map(shutil.which, (_PLUGIN, "buildx")) if found),
    ]
    return next((Buildx(program=each) for each in places if os.access(each, os.X_OK)), None)


def own_place() -> Path:
    """Where this tool puts a buildx that it has fetched: there Docker finds it, too."""
    return docker_folder() / "cli-plugins" / _PLUGIN


def words(program: Path) -> tuple[str, ...]:
    """How a person starts it: as Docker's command where there is Docker."""
    if shutil.which("docker"):
        return ("docker", "buildx")
    found = shutil.which(program.name)
    return (program.name,) if found and Path(found) == program else (str(program),)


def docker_folder() -> Path:
    """Docker's configuration folder."""
    given = os.environ.get("DOCKER_CONFIG")
    return Path(given) if given else Path.home() / ".docker"


def folder() -> Path:
    """The folder of buildx (util/confutil of buildx)."""
    given = os.environ.get("BUILDX_CONFIG")
    return Path(given) if given else docker_folder() / "buildx"


def alone(name: str, node: str, folder_: Path, *, told: bool = True) -> None:
    """Write a configuration of buildx that has this node of the builder alone. Raises OSError, ValueError.

    Without `told` buildx knows of no platforms of the node, and so asks its daemon.
    """
    said: Any = json.loads((folder() / "instances" / name.lower()).read_text(encoding="utf-8"))
    said["Nodes"] = [each for each in said["Nodes"] if each["Name"] == node]
    for each in said["Nodes"]:
        each["Platforms"] = each["Platforms"] if told else []
    (folder_ / "instances").mkdir()
    (folder_ / "instances" / name.lower()).write_text(json.dumps(said), encoding="utf-8")


def instance(name: str) -> Instance | None:
    """What buildx knows of a builder. Raises BuildxError for a file that cannot be read."""
    place = folder() / "instances" / name.lower()
    try:
        return parse_instance(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BuildxError(
            f"{place} cannot be read",
            cause=f"{type(error).__name__}: {error}",
            hint=f"Remove the builder, then run it again: docker buildx rm --keep-daemon {name}",
        ) from error


def parse_instance(text: str) -> Instance:
    """store.NodeGroup of buildx. Raises what a wrong shape gives: ValueError, LookupError, TypeError."""
    said: Any = json.loads(text)
    return Instance(driver=str(said["Driver"]), nodes=tuple(map(_node, said.get("Nodes") or ())))


def _node(said: Mapping[str, Any]) -> Node:
    platforms = (
        normalise(p["os"], p["architecture"], p.get("variant", "")) for p in said["Platforms"] or ()
    )
    return Node(
        name=str(said["Name"]),
        endpoint=str(said["Endpoint"]),
        platforms=tuple(platforms),
        options=MappingProxyType(dict(said.get("DriverOpts") or {})),
    )


def refuse_default_settings() -> None:
    """Raises BuildxError for a file with which buildx makes no builder that uses a daemon (moby/buildkit#4268)."""
    place = folder() / DEFAULT_SETTINGS
    if place.exists():
        raise BuildxError(
            f"{place} is in the way",
            cause="buildx gives these settings to every new builder, and refuses them for a daemon that runs already",
            hint=f"Rename it while the builder is made: mv {place} {place}.off",
        )


def last_words(output: bytes) -> str:
    """The error of a program that writes warnings before it."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it said nothing"])[-1].strip()


def shell(command: Sequence[str]) -> tuple[str, ...]:
    """The same words as a person types them."""
    return ("docker", "buildx", *command)
