"""systemd: units, and what `systemctl show` says of them. Pure.

Sources: systemd.unit(5), systemd.service(5), systemd-binfmt.service(8), org.freedesktop.systemd1(5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from provision import paths
from provision.buildkit import daemon
from provision.fix import PROVISION, Fix, run
from provision.render import render
from provision.services.manager import (
    Boot,
    Commands,
    Lack,
    Reading,
    Seen,
    Service,
    ServiceFile,
    ServiceManager,
    Settings,
    State,
    Unit,
)

_STATES: Final[Mapping[str, State]] = {"active": "running", "reloading": "running", "failed": "failed"}


def files(settings: Settings) -> tuple[ServiceFile, ...]:
    """The folder of its socket, and its unit."""
    return (
        ServiceFile(
            id="buildkit-tmpfiles",
            path=paths.TMPFILES,
            text=daemon.render_tmpfiles(settings.buildkit),
        ),
        ServiceFile(
            id="buildkit-unit",
            path=paths.UNIT,
            text=daemon.render_unit(settings.buildkit, settings.version, settings.generation),
        ),
    )


def read(seen: Seen) -> Reading:
    """From the units of `paths.UNITS`."""
    return Reading(service=_service(seen.units.get(paths.SERVICE, Unit())), boot=_boot(seen))


def _service(unit: Unit) -> Service:
    if not unit.found:
        return Service()
    # One that dies is "activating" while it waits for its next start.
    state: State = "failed" if unit.sub == "auto-restart" else _STATES.get(unit.active, "stopped")
    return Service(
        state=state,
        words=f"{unit.active or 'unknown'} ({unit.sub or 'unknown'})",
        enabled=unit.file_state == "enabled",
        masked=unit.load == "masked",
        restarts=unit.restarts,
        reload_due=unit.reload_due,
    )


def _boot(seen: Seen) -> Boot:
    mounts = _mounts(seen)
    loader = ServiceFile(id="binfmt-loader", path=paths.LOADER, text=render("systemd-binfmt.conf"))
    order = ServiceFile(id="binfmt-order", path=paths.SUPPORT_ORDER, text=render("binfmt-support.conf"))
    early = seen.support_early and seen.units.get(paths.BINFMT_SUPPORT, Unit()).file_state == "enabled"
    return Boot(
        folders=paths.RULE_FOLDERS,
        lacks=(*(() if mounts else (_NO_MOUNT,)), *_no_loader(seen)),
        files=(*((loader,) if seen.loader_refuses else ()), *((order,) if early else ())),
        # Nothing would mount it at the next boot (a container, or a masked automount).
        enable=() if mounts else (paths.BINFMT_MOUNT,),
    )


def _mounts(seen: Seen) -> bool:
    """Whether systemd will mount binfmt_misc by itself, or when something opens it."""
    automount = seen.units.get(paths.BINFMT_AUTOMOUNT, Unit())
    # An automount that was masked after the boot works until the next one.
    by_looking = automount.active == "active" and automount.file_state != "masked"
    return by_looking or seen.units.get(paths.BINFMT_MOUNT, Unit()).file_state in ("enabled", "generated")


_NO_MOUNT: Final = Lack(
    finding="boot-no-mount",
    evidence=f"neither {paths.BINFMT_AUTOMOUNT} is active nor {paths.BINFMT_MOUNT} enabled",
    fix=Fix.by(run("systemctl", "enable", paths.BINFMT_MOUNT)),
)


def _no_loader(seen: Seen) -> Iterator[Lack]:
    load = seen.units.get(paths.SYSTEMD_BINFMT, Unit()).load
    if seen.loader_refuses:
        yield Lack(
            finding="boot-no-loader",
            evidence=f"{paths.SYSTEMD_BINFMT} does not start here: {seen.loader_refuses}",
            fix=Fix.by(PROVISION),
        )
    elif load == "masked":
        yield Lack(
            finding="boot-no-loader",
            evidence=f"{paths.SYSTEMD_BINFMT} is masked: nothing reads binfmt.d",
            fix=Fix.by(run("systemctl", "unmask", paths.SYSTEMD_BINFMT)),
        )
    elif load == "not-found":
        yield Lack(
            finding="boot-no-loader",
            evidence=f"{paths.SYSTEMD_BINFMT} is not there: nothing reads binfmt.d",
            fix=Fix(words="install systemd's systemd-binfmt.service"),
        )


MANAGER: Final = ServiceManager(
    name="systemd",
    title="systemd",
    service=paths.SERVICE,
    path=paths.UNIT,
    commands=Commands(
        start=run("systemctl", "start", paths.SERVICE),
        stop=run("systemctl", "stop", paths.SERVICE),
        restart=run("systemctl", "restart", paths.SERVICE),
        status=run("systemctl", "status", paths.SERVICE),
        log=run("journalctl", "--no-pager", "-n", "30", "-u", paths.SERVICE),
        log_name="journal",
        enable=run("systemctl", "enable", paths.SERVICE),
        unmask=run("systemctl", "unmask", paths.SERVICE),
        reload=run("systemctl", "daemon-reload"),
        forget=run("systemctl", "reset-failed", paths.SERVICE),
        hold_table=run("systemctl", "start", paths.BINFMT_MOUNT),
    ),
    files=files,
    read=read,
    drops_handlers="systemd-binfmt",
    rule_loader="systemd-binfmt loads this file at boot; it overrides one of the same name in /usr/lib.",
)
