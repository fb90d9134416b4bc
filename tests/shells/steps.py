"""Steps by hand, as a plan would hold them."""

from __future__ import annotations

from pathlib import Path

from provision.plan.steps import (
    AddMember,
    CreateGroup,
    EnableBinfmt,
    InstallPackages,
    InstallRunc,
    MakeLink,
    MountBinfmt,
    RunService,
    SendInterpreter,
    StartDaemon,
    UnpackRelease,
    Verb,
    WriteFile,
    WriteRule,
)
from provision.services.manager import Name

SCRIPT = "2321*"
"""How a shell script begins: the programs of the releases that tests pack."""


def file(path: str, content: str, *, step: str = "file", mode: str = "0644") -> WriteFile:
    return WriteFile(id=step, action="create", target=path, path=path, content=content, mode=mode)


def link(path: str, to: str, *, step: str = "link") -> MakeLink:
    return MakeLink(id=step, action="create", target=path, path=path, to=to)


def rule(
    path: str, line: str, *, header: str = "# header\n", follows: bool = False, step: str = "rule"
) -> WriteRule:
    return WriteRule(
        id=step,
        action="create",
        target=path,
        qemu="aarch64",
        path=path,
        header=header,
        line=line,
        follows=follows,
    )


def packages(
    manager: str, *names: str, instead: str = "", removes: tuple[str, ...] = (), step: str = "packages"
) -> InstallPackages:
    return InstallPackages(
        id=step,
        action="install",
        target=" ".join(names),
        manager=manager,
        packages=names,
        instead=instead,
        removes=removes,
    )


def runc(manager: str, oldest: tuple[int, int] = (1, 1)) -> InstallRunc:
    return InstallRunc(id="runc", action="install", target="runc", manager=manager, oldest=oldest)


def group(name: str, *, step: str = "group") -> CreateGroup:
    return CreateGroup(id=step, action="create", target=f"group {name}", group=name)


def member(user: str, name: str) -> AddMember:
    return AddMember(id=f"member-{user}", action="add", target=f"{user} to {name}", group=name, user=user)


def service(verb: Verb, name: str, *, manager: Name = "systemd", step: str = "") -> RunService:
    return RunService(
        id=step or f"{verb}-{name}", action=verb, target=name, manager=manager, verb=verb, service=name
    )


def start(name: str, *, manager: Name = "systemd") -> StartDaemon:
    return StartDaemon(
        id="start", action="restart", target=name, manager=manager, service=name, generation="new"
    )


def release(
    folder: str, sha256: str, *, url: str | None = None, archive: str = "a.tar.gz", header: str = SCRIPT
) -> UnpackRelease:
    return UnpackRelease(
        id="release",
        action="install",
        target=folder,
        folder=folder,
        archive=archive,
        sha256=sha256,
        header=header,
        url=url,
    )


def mount(manager: Name = "systemd") -> MountBinfmt:
    return MountBinfmt(id="binfmt-mount", action="mount", target="binfmt_misc", manager=manager)


def enable() -> EnableBinfmt:
    return EnableBinfmt(id="binfmt-enable", action="enable", target="binfmt_misc")


def send(file: Path, path: str, sha256: str) -> SendInterpreter:
    return SendInterpreter(
        id="interpreter",
        action="send",
        target=path,
        file=file,
        path=path,
        sha256=sha256,
        size=file.stat().st_size,
    )
