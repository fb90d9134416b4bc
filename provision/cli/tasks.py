"""The command line: tasks of one Invoke collection, for `./inv` and for the installed `provision`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from invoke.collection import Collection

from provision.cli.call import TASKS, Call, command
from provision.cli.options import (
    AGAIN,
    DEEP,
    FLEET,
    HEALTH,
    IMAGE,
    INTERVAL,
    ONCE,
    PLATFORM,
    QUICK,
    SEVERITY,
    SPEC,
    WANTED,
)
from provision.errors import UsageError
from provision.fix import Fix, ToolCommand
from provision.lazy import LazyModule
from provision.report import Report

# The first host is connected to before these are imported.
if TYPE_CHECKING:
    from provision.commands import change, inspect, top
else:
    change, inspect, top = (
        LazyModule(f"provision.commands.{name}") for name in ("change", "inspect", "top")
    )


@command({**SPEC, **AGAIN})
def check_(call: Call) -> Report:
    """Can this machine become a build machine? Kernel, binfmt_misc, systemd, room, rights: seen, needed, fix."""
    version = call.version()
    return call.run(
        lambda transport, host: inspect.check_host(transport, call.config.spec_for(host), version),
        root=False,
    )


@command({**SPEC, **AGAIN})
def plan_(call: Call) -> Report:
    """What `provision` would do, as a diff. Exit 2 if anything would change, 0 if not."""
    version = call.version()
    return call.run(
        lambda transport, host: change.preview(
            transport, call.config.spec_for(host), call.settings(version), local=host.local
        )
    )


@command({**SPEC, **FLEET})
def provision_(call: Call) -> Report:
    """Make it a build machine: QEMU handlers, BuildKit as a service, and proof that every platform runs."""
    version = call.version()
    return call.run(
        lambda transport, host: change.provision(
            transport, call.config.spec_for(host), call.settings(version), local=host.local
        )
    )


@command({"platforms": SPEC["platforms"], "deep": DEEP, **AGAIN})
def platforms_(call: Call) -> Report:
    """The worker's platforms: how each runs (native or emulated, by what), registered, listed; --deep: builds."""
    ask = inspect.build_platforms if call.options["deep"] else inspect.list_platforms
    return call.run(lambda transport, host: ask(transport, call.config.spec_for(host)))


@command({**HEALTH, "severity": SEVERITY, "deep": DEEP})
def health_(call: Call) -> Report:
    """Will the next build work, and after the next reboot too? Proven by execution, with the fix. Exit 5 if not."""
    threshold, deep = call.options["severity"], bool(call.options["deep"])
    report = call.run(
        lambda transport, host: inspect.health_of(
            transport, call.config.spec_for(host), threshold, deep=deep
        )
    )
    return replace(report, threshold=threshold)


@command({**HEALTH, "platform": PLATFORM})
def explain_(call: Call) -> Report:
    """Why a platform does or does not work: from its ELF header to a running build step. Exit 5 if it does not."""
    wanted = call.options["platform"]
    return call.run(lambda transport, host: inspect.explain(transport, call.config.spec_for(host), wanted))


@command({"interval": INTERVAL, "once": ONCE})
def top_(call: Call) -> Report:
    """The build load of this machine, live: buildkitd and every build step and emulated process, by platform."""
    if any(not host.local for host in call.hosts):
        fix = Fix.by(ToolCommand(task="top"), words="log in on that machine and run it there")
        raise UsageError("top shows this machine only", fix=fix)
    return top.run(
        call.name,
        call.hosts[0].name,
        call.style,
        seconds=call.options["interval"],
        once=bool(call.options["once"]),
    )


@command({"platforms": WANTED, "image": IMAGE, "quick": QUICK, "severity": SEVERITY})
def verify_(call: Call) -> Report:
    """Is what was pushed what you meant? Every platform's programs, digests and sizes, read from the registry."""
    from provision.commands import verify  # noqa: PLC0415 - urllib3 is for this task only

    if any(not host.local for host in call.hosts):
        raise UsageError("verify reads a registry, from this machine", hint="Leave --hosts out.")
    threshold = health.severity(call.options["severity"])
    result = verify.verify(
        call.options["image"],
        call.config,
        call.style.progress,
        threshold,
        quick=bool(call.options["quick"]),
    )
    return Report(command=call.name, hosts=(result,), threshold=threshold)


@command({})
def hosts_(call: Call) -> Report:
    """What a selection of hosts means. Contacts nobody."""
    return Report(command=call.name, selection=call.hosts)


def namespace() -> Collection:
    """The product's tasks, to which others may be added."""
    return Collection(*TASKS.tasks.values())
