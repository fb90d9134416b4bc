"""OpenRC: init scripts, and what /run/openrc and /etc/runlevels say of them. Pure.

Sources: openrc-run(8), supervise-daemon(8), rc-update(8), and OpenRC's init.d/{binfmt,procfs} and sh/binfmt.sh.
"""

from __future__ import annotations

from typing import Final

from provision import paths
from provision.fix import PROVISION, Fix, run
from provision.render import render
from provision.services import process
from provision.services.manager import (
    Boot,
    Commands,
    InitScript,
    Lack,
    LackId,
    Reading,
    Seen,
    Service,
    ServiceFile,
    ServiceManager,
    Settings,
)

SERVICE: Final = paths.OPENRC_SERVICE
TABLE: Final = "procfs"
"""The distribution's service that mounts binfmt_misc."""
LOADER: Final = "binfmt"
"""The distribution's service that reads binfmt.d. It does not mount the table."""
OWN_LOADER: Final = paths.OPENRC_LOADER.rpartition("/")[2]
"""Does both, where theirs are not there or do not start."""
SERVICES: Final = (SERVICE, TABLE, LOADER, OWN_LOADER)
"""What the facts script asks for."""


def files(settings: Settings) -> tuple[ServiceFile, ...]:
    """The script that runs the daemon, and the init script that has it supervised."""
    init = render("buildkit.openrc", stop_seconds=process.STOP_SECONDS, paths=paths)
    return (
        process.script(settings),
        ServiceFile(id="buildkit-unit", path=paths.OPENRC_SCRIPT, text=init, mode=0o755),
    )


def read(seen: Seen) -> Reading:
    """From the init scripts of `SERVICES` and the daemon's mark."""
    return Reading(service=_service(seen), boot=_boot(seen))


def _service(seen: Seen) -> Service:
    script = seen.init_scripts.get(SERVICE)
    if script is None:
        return Service()
    state, words = process.STATES[seen.mark.state], script.state or "stopped"
    if script.state == "started" and state != "running":
        # OpenRC's word is about the supervisor, which may be waiting for the next start of a daemon that dies.
        state, words = "failed", "started, but its daemon does not run"
    elif script.state != "started" and state == "running":
        # One that `buildkit-service start` started: OpenRC does not know of it.
        state, words = "stopped", f"{words}, though a daemon runs beside it"
    return Service(
        state=state,
        words=words,
        enabled=bool(script.runlevels),
        restarts=script.restarts,
        last_words=seen.mark.last_words,
    )


def _boot(seen: Seen) -> Boot:
    scripts = seen.init_scripts
    # Theirs would start if they were enabled.
    theirs = all(name in scripts and not scripts[name].refuses for name in (TABLE, LOADER))
    needed = (TABLE, LOADER) if theirs else (OWN_LOADER,)
    missing = tuple(name for name in needed if not scripts.get(name, InitScript()).runlevels)
    own = ServiceFile(
        id="binfmt-loader",
        path=paths.OPENRC_LOADER,
        text=render("provision-binfmt.openrc", paths=paths),
        mode=0o755,
    )
    return Boot(
        folders=paths.OPENRC_RULE_FOLDERS,
        lacks=tuple(_lack(name, name in scripts) for name in missing),
        files=() if theirs else (own,),
        enable=missing,
    )


def _lack(name: str, there: bool) -> Lack:
    finding: LackId = "boot-no-mount" if name == TABLE else "boot-no-loader"
    does = "nothing mounts the table" if name == TABLE else "nothing reads binfmt.d"
    if not there:
        return Lack(
            finding=finding,
            evidence=f"there is no {paths.INIT_SCRIPTS}/{name}: {does}",
            fix=Fix.by(PROVISION),
        )
    fix = Fix.by(run("rc-update", "add", name, "boot"))
    return Lack(finding=finding, evidence=f"{name} is in no runlevel: {does}", fix=fix)


MANAGER: Final = ServiceManager(
    name="openrc",
    title="OpenRC",
    service=SERVICE,
    path=paths.SERVICE_SCRIPT,
    commands=Commands(
        start=run("rc-service", SERVICE, "start"),
        stop=run("rc-service", SERVICE, "stop"),
        restart=run("rc-service", SERVICE, "restart"),
        status=run("rc-service", SERVICE, "status"),
        log=process.LOG_END,
        hold_table=process.HOLD_TABLE,
        enable=run("rc-update", "add", SERVICE, "default"),
    ),
    files=files,
    read=read,
    mounts_control_groups=True,
    rests_on="process",
    rule_loader="OpenRC loads this file at boot; it overrides one of the same name in /usr/lib.",
)
