"""`logs --bundle`: one archive with all that helps to find what is wrong, without secrets, to attach to a report."""

from __future__ import annotations

import io
import json
import os
import platform
import re
import secrets
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from provision import __version__, health, paths, user_folders
from provision.commands.ask import target_of
from provision.commands.inspect import judged
from provision.errors import HostError, ProvisionError, UsageError
from provision.facts import Facts, question
from provision.logs.masking import MASK, masked
from provision.plan import plan
from provision.report.envelope import envelope
from provision.result import HostResult, Report, StepResult
from provision.spec import Config, Host, Spec

_FOLDER: Final = "provision-logs"
_README: Final = """\
What `logs --bundle` of provision {version} collected, at {time}, under Python {python} on {machine}.

report.json           the result of `logs`: workers, builds, memory kills, room, known errors
provision.toml        the configuration, where there was one
HOST/log.txt          the service's log
HOST/facts.json       what the host was asked
HOST/health.json      what `health` says of that
HOST/plan.json        what `plan` would change
HOST/buildkitd.toml   the daemon's settings; HOST/buildkitd.env the variables it is given

What looks like a secret was replaced by {mask}. Read it before you give it away: shapes are all that was gone by.
"""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the bundle has of one host besides its logs."""

    facts: Facts
    environment: str


def check_place(file: Path) -> None:
    """Raises UsageError where no bundle can be written, before any host is asked."""
    folder = file.parent
    if file.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(
            f"--bundle {file} cannot be written", hint="Name a file in a folder that you may write to."
        )


def write(file: Path, report: Report, parts: Mapping[str, Parts], config: Config, version: str) -> None:
    """Writes the archive: for its owner alone, and never half. `version` is BuildKit's, resolved.

    Raises HostError if there is no room.
    """
    hosts = {host.name: host for host in config.inventory.hosts.values()}
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as made, tarfile.open(fileobj=made, mode="w:gz") as archive:
            for path, text in _files(report, parts, config, hosts, version):
                _add(archive, f"{_FOLDER}/{path}", text.encode("utf-8", "replace"))
        Path(name).replace(file)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise HostError(
            f"{file} cannot be written", cause=str(error.strerror), hint="Free some room."
        ) from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _add(archive: tarfile.TarFile, path: str, data: bytes) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode, member.mtime = len(data), 0o644, int(time.time())
    archive.addfile(member, io.BytesIO(data))


def _files(
    report: Report, parts: Mapping[str, Parts], config: Config, hosts: Mapping[str, Host], version: str
) -> Iterator[tuple[str, str]]:
    yield (
        "README.txt",
        _README.format(
            version=__version__,
            time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            python=sys.version.split()[0],
            machine=f"{platform.system()} {platform.machine()}",
            mask=MASK,
        ),
    )
    yield "report.json", _json(envelope(report))
    if config.path is not None:
        yield "provision.toml", masked(config.path.read_text(encoding="utf-8", errors="replace"))
    for result in report.hosts:
        folder = _folder(result.host)
        if result.logs:
            yield f"{folder}/log.txt", "".join(f"{line}\n" for line in result.logs.lines)
        if part := parts.get(result.host):
            spec = config.spec_for(hosts.get(result.host, Host(name=result.host)))
            yield from ((f"{folder}/{name}", text) for name, text in _of_host(result, part, spec, version))


def _of_host(result: HostResult, part: Parts, spec: Spec, version: str) -> Iterator[tuple[str, str]]:
    yield "facts.json", _json(part.facts)
    judgement = judged(result.host, spec, part.facts, "warning", health.find(spec, part.facts))
    yield "health.json", _json(envelope(Report(command="health", hosts=(judgement,))))
    yield "plan.json", _json(envelope(Report(command="plan", hosts=(_plan(result, part, spec, version),))))
    settings = part.facts.files.get(paths.CONFIG)
    if settings and settings.text:
        yield "buildkitd.toml", masked(settings.text)
    if part.environment:
        yield "buildkitd.env", part.environment


def _plan(result: HostResult, part: Parts, spec: Spec, version: str) -> HostResult:
    """What would be done, or what stands against it. Nothing is built for it."""
    try:
        target = target_of(spec, part.facts, version, user_folders.cache())
        made = plan(target, nonce=secrets.token_bytes(7), argc=question.argc())
    except ProvisionError as error:
        return HostResult.of_error(result.host, error)
    except TypeError:
        unbuilt = HostError("BuildKit would first be built for this host")
        return HostResult.of_error(result.host, unbuilt)
    steps = tuple(
        StepResult(id=step.id, action=step.action, target=step.target, status="pending", detail=step.detail)
        for step in made.steps
    )
    return HostResult(host=result.host, status="pending" if steps else "ok", steps=steps, notes=made.notes)


def _folder(host: str) -> str:
    """A host's name as that of a folder: nothing in it leads anywhere else."""
    return re.sub(r"[^A-Za-z0-9@_.-]", "_", host).lstrip(".") or "host"


def _json(value: object) -> str:
    return json.dumps(_plain(value), indent=2) + "\n"


def _plain(value: object) -> Any:
    """Facts and results as JSON has them, each text without secrets."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {masked(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value), key=str)
    if isinstance(value, tuple | list | range):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, int | float) else masked(str(value))
