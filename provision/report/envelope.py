"""The JSON envelope: one object on stdout, frozen by tests/unit/report/test_envelope_contract.py.

Keys may be added to a host's object, never renamed or dropped, while `version` is 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, Final

from provision.errors import ProvisionError
from provision.fix import Place
from provision.report.fixes import advice, written
from provision.result import ChainLink, CheckLine, Finding, HostResult, Report, at, first_broken
from provision.result.logs import KnownError, Logs
from provision.spec import Host

VERSION: Final = 1

Section = Callable[[HostResult], dict[str, Any]]


def envelope(report: Report) -> dict[str, Any]:
    """The report as plain data."""
    hosts = [_selected(host) for host in report.selection]
    hosts += [_host(report.command, host) for host in report.hosts]
    errors = [_error(report.error, report.place)] if report.error else []
    errors += [_error(host.error, host.place, host.host) for host in report.hosts if host.error]
    return {
        "version": VERSION,
        "command": report.command,
        "status": report.status,
        "exit_code": report.exit_code,
        "hosts": hosts,
        "errors": errors,
        **({"text": report.text} if report.text else {}),
    }


def render(report: Report) -> str:
    """The report as JSON text. ASCII only: it survives any encoding of stdout, and stray bytes."""
    return json.dumps(envelope(report), indent=2, ensure_ascii=True) + "\n"


def _error(error: ProvisionError, place: Place, host: str = "") -> dict[str, str]:
    """The three parts in two: an envelope's error has no key of its own for the cause."""
    cause = f" ({error.cause})" if error.cause else ""
    message = at(host, error.message) if host else error.message
    return {"code": error.code, "message": f"{message}{cause}", "hint": advice(error, place)}


def _host(command: str, host: HostResult) -> dict[str, Any]:
    values: dict[str, Any] = {
        "host": host.host,
        "status": host.status,
        "seconds": round(host.seconds, 3),
        "notes": list(host.notes),
        "error": _full_error(host.error, host.place),
    }
    for section in SECTIONS.get(command, ()):
        values |= section(host)
    return values


def _full_error(error: ProvisionError | None, place: Place) -> dict[str, str] | None:
    if error is None:
        return None
    hint = advice(error, place)
    return {"code": error.code, "message": error.message, "cause": error.cause, "hint": hint}


def _with_fix(item: Finding | ChainLink | CheckLine | KnownError, place: Place) -> dict[str, Any]:
    """The item with its fix as one line for a shell."""
    return {field.name: getattr(item, field.name) for field in fields(item)} | {
        "fix": str(written(item.fix, place))
    }


def _steps(host: HostResult) -> dict[str, Any]:
    names = ("id", "action", "target", "status")
    return {"steps": [{name: getattr(step, name) for name in names} for step in host.steps]}


def _platforms(host: HostResult) -> dict[str, Any]:
    return {"platforms": [asdict(row) for row in host.platforms]}


def _findings(host: HostResult) -> dict[str, Any]:
    return {"findings": [_with_fix(finding, host.place) for finding in host.findings]}


def _chain(host: HostResult) -> dict[str, Any]:
    broken = first_broken(host.chain)
    chain = [_with_fix(link, host.place) for link in host.chain]
    return {"chain": chain, "broken": broken.id if broken else None}


def _processes(host: HostResult) -> dict[str, Any]:
    return {"processes": [asdict(process) for process in host.processes]}


def _images(host: HostResult) -> dict[str, Any]:
    return {"images": [asdict(row) for row in host.images]}


def _logs(host: HostResult) -> dict[str, Any]:
    found = host.logs or Logs()
    room = [asdict(row) for row in found.room]
    return {
        "source": found.source,
        "log": list(found.lines),
        "workers": [asdict(row) for row in found.workers],
        "builds": [asdict(row) for row in found.builds],
        "kills": list(found.kills),
        "killed": found.killed,
        "memory": {"size": found.memory, "available": found.available, "swap": found.swap},
        "room": room,
        "known": [_with_fix(each, host.place) for each in found.known],
    }


def _nodes(host: HostResult) -> dict[str, Any]:
    return {"nodes": [asdict(row) for row in host.nodes]}


def _tried_nodes(host: HostResult) -> dict[str, Any]:
    return _nodes(host) if host.nodes else {}


def _checks(host: HostResult) -> dict[str, Any]:
    return {"checks": [_with_fix(line, host.place) for line in host.checks]}


def _selected(host: Host) -> dict[str, Any]:
    return {
        "host": host.name,
        "status": "ok",
        "address": host.address,
        "user": host.user,
        "port": host.port,
        "jump": host.jump,
        "local": host.local,
        "platforms": None if host.platforms is None else list(host.platforms),
    }


SECTIONS: Final[Mapping[str, tuple[Section, ...]]] = {
    "check": (_checks,),
    "plan": (_steps,),
    "provision": (_steps, _platforms),
    "rollback": (_steps, _platforms),
    "remove": (_steps,),
    "platforms": (_platforms,),
    "health": (_findings, _platforms, _tried_nodes),
    "explain": (_chain, _findings),
    "top": (_processes,),
    "verify": (_findings, _images),
    "builder": (_steps, _nodes, _findings),
    "client-cert": (_steps,),
    "login": (_steps,),
    "logout": (_steps,),
    "logs": (_logs,),
}
"""The keys that each command gives a host's object besides its status, as functions that make them."""
