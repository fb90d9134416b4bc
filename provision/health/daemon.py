"""buildkitd: its service, its version, and which platforms it lists. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from provision import paths
from provision.architectures import PLATFORMS, of_platform
from provision.buildkit.failures import meaning_of
from provision.buildkit.version import REFUSED_BELOW, WARNED_BELOW, at_least, canonical, is_version
from provision.buildkit.workers import Workers, covers, undetected, unknown_to
from provision.errors import UsageError
from provision.facts import Facts
from provision.facts.managers import reading, runs, service_manager
from provision.facts.view import concerned, view
from provision.fix import PROVISION, Fix, HostCommand, provision_for, run
from provision.health import emulation
from provision.health.finding_table import finding
from provision.placed import current, lost, noexec
from provision.result import Finding
from provision.services.manager import Commands, Service, ServiceManager
from provision.spec import DEFAULT_VERSION, LATEST, Spec

_AGAIN: Final = Fix.by(PROVISION)


def findings(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """Faults of buildkitd. If it does not run or answer, that is the only one besides those of its service."""
    if stopped := _stopped(spec, facts):
        return (*_service(spec, facts), stopped)
    worker = facts.worker
    if worker is None:
        # Without its client nobody knows whether it answers: that it is gone, or may not run, is said already.
        silent = () if _lost_client(facts) else (_silent(spec, facts),)
        return (*_service(spec, facts), *silent)
    return (
        *_service(spec, facts),
        *_version(spec, worker),
        *_settings(spec, facts, worker),
        *_listing(spec, facts, worker),
    )


def _stopped(spec: Spec, facts: Facts) -> Finding | None:
    manager, service = service_manager(spec, facts), reading(spec, facts).service
    if not runs(manager, facts.system) or service.state == "missing":
        return None if facts.worker else _missing(manager, facts)  # if somebody else started it, it works
    if service.state == "running":
        return None
    fix = Fix.by(manager.commands.start)
    if service.masked and manager.commands.unmask:
        fix = Fix.by(manager.commands.unmask, PROVISION)
    elif service.state == "failed":
        fix = Fix.by(
            manager.commands.log, PROVISION, words=f"the {manager.commands.log_name} shows why it ended"
        )
    evidence = f"{manager.service} is {service.described}"
    return finding("service-stopped", "error", evidence, "nothing can be built", fix)


def _lost_client(facts: Facts) -> bool:
    if noexec(facts, paths.RELEASES) or lost(facts):
        return True
    installed = current(facts)
    damage = facts.basis.damage.get(installed.folder, ()) if installed else ()
    return any(each.program == "buildctl" for each in damage)


def _missing(manager: ServiceManager, facts: Facts) -> Finding:
    evidence, fix = f"there is no {manager.path}", _AGAIN
    if not runs(manager, facts.system):
        evidence = f"{manager.title} does not run here"
        words = f'first boot the machine with {manager.title}, or set [buildkit] service = "auto"'
        fix = Fix.by(PROVISION, words=words)
    return finding("service-missing", "error", evidence, "nothing can be built", fix)


def _service(spec: Spec, facts: Facts) -> Iterator[Finding]:
    manager, service = service_manager(spec, facts), reading(spec, facts).service
    if service.state == "missing" or service.masked:
        return
    commands, restarts = manager.commands, service.restarts
    if service.enabled is False and commands.enable:
        yield finding(
            "service-disabled",
            "warning",
            f"{manager.service} is not enabled",
            "after the next boot nothing can be built",
            Fix.by(commands.enable),
        )
    if restarts and service.state == "running":
        yield finding(
            "service-restarts",
            "warning",
            f"{manager.title} restarted it {restarts} time{'s' if restarts > 1 else ''}"
            " since it was last started by hand",
            "each time the builds that ran were lost",
            Fix.by(*_present(commands.log, commands.forget), words=_why(commands)),
        )
    if evidence := _outdated(manager, service, facts):
        consequence = "the settings on the disk do not count yet"
        fix = Fix.by(*_present(commands.reload, commands.restart))
        yield finding("service-settings", "warning", evidence, consequence, fix)


def _present(*commands: HostCommand | None) -> tuple[HostCommand, ...]:
    return tuple(each for each in commands if each)


def _why(commands: Commands) -> str:
    forgets = f"; {commands.forget.arguments[1]} sets the count to 0" if commands.forget else ""
    return f"the {commands.log_name} shows why it ended{forgets}"


def _outdated(manager: ServiceManager, service: Service, facts: Facts) -> str:
    """Evidence that the daemon runs with other settings than the files have; empty if it does not."""
    if service.reload_due:
        return f"{manager.path} was changed after {manager.title} read it"
    file = facts.files.get(manager.path)
    written = re.search(r"PROVISION_GENERATION=(\w+)", file.text or "") if file else None
    running = facts.daemon.generation if facts.daemon else ""
    if written and running and written[1] != running:
        return f"the daemon runs generation {running}, {manager.path} has {written[1]}"
    return ""


def _silent(spec: Spec, facts: Facts) -> Finding:
    manager = service_manager(spec, facts)
    evidence = (
        facts.worker_error[:200]
        or f"{manager.service} runs, but there is no socket {paths.SOCKET} or no buildctl"
    )
    meaning = meaning_of(facts.worker_error, manager.commands.restart)
    if meaning is None:
        fix = Fix.by(
            manager.commands.restart,
            manager.commands.log,
            words=f"the {manager.commands.log_name} shows more",
        )
        return finding("worker-silent", "error", evidence, "nothing can be built", fix)
    consequence = f"nothing can be built: {meaning.cause}"
    return finding("worker-silent", "error", evidence, consequence, meaning.fix)


def _version(spec: Spec, worker: Workers) -> Iterator[Finding]:
    running, wanted = worker.version or "", spec.buildkit.version
    if not is_version(running):
        return  # "v0.0.0+unknown": somebody's own build
    running = canonical(running)
    if not at_least(running, WARNED_BELOW):
        refused = not at_least(running, REFUSED_BELOW)
        yield finding(
            "worker-insecure",
            "error" if refused else "warning",
            f"buildkitd is {running}; {REFUSED_BELOW if refused else WARNED_BELOW} fixes it",
            "a build can take over this machine" if refused else "known security holes",
            Fix.by(replace(PROVISION, options=(("buildkit_version", DEFAULT_VERSION),)))
            if wanted == running
            else _AGAIN,
        )
    elif wanted != LATEST and running != canonical(wanted):
        consequence = "builds may come out otherwise than on other hosts"
        evidence = f"buildkitd is {running}, wanted is {canonical(wanted)}"
        yield finding("worker-version", "warning", evidence, consequence, _AGAIN)


def _settings(spec: Spec, facts: Facts, worker: Workers) -> Iterator[Finding]:
    restart = service_manager(spec, facts).commands.restart
    if worker.snapshotter == "native":
        yield finding(
            "worker-snapshotter",
            "warning",
            "the worker's snapshotter is native: overlayfs does not work here",
            "every layer is a full copy: the disk fills and builds are slow",
            Fix.by(restart, words=f"first put {paths.STATE} on ext4 or xfs (with ftype=1)"),
        )
    wanted = spec.buildkit.network
    # It calls the bridge a plugin (util/network/netproviders/network.go).
    same = {wanted, "cni"} if wanted == "bridge" else {wanted}
    if wanted != "auto" and worker.network and worker.network not in same:
        evidence = f"the worker's network is {worker.network}, wanted is {wanted}"
        consequence = "build steps reach more, or less, than they should"
        yield finding("worker-network", "warning", evidence, consequence, _AGAIN)
    if worker.process_mode == "no-sandbox":
        yield finding(
            "worker-process-mode",
            "warning",
            "the worker's process mode is no-sandbox",
            "build steps see the host's processes and can end them",
            Fix.by(restart, words=f"first remove noProcessSandbox from {paths.CONFIG}"),
        )


def _listing(spec: Spec, facts: Facts, worker: Workers) -> Iterator[Finding]:
    manager = service_manager(spec, facts)
    restart = manager.commands.restart
    tmpdir = (facts.daemon.tmpdir or "/tmp") if facts.daemon else paths.SCRATCH  # noqa: S108 - as Go does
    if mount := noexec(facts, tmpdir):
        yield finding(
            "worker-tmpdir",
            "error",
            f"{tmpdir}, where it starts them, lies on {mount.point}, which is mounted noexec",
            "from its next start on it lists the native platform alone, without a message",
            Fix.by(run("mount", "-o", "remount,exec", mount.point), restart),
        )
        return
    for platform in _runs_here(spec, facts):
        if found := _unlisted(platform, worker, restart):
            yield found
    reported = {each.platform for each in emulation.findings(spec, facts)}
    if None in reported:
        return  # the whole table is out of order, and nothing is wrong with the list
    for platform in worker.platforms:
        try:
            seen = view(of_platform(platform), spec, facts)
        except UsageError:
            continue  # one that the table does not know
        if not (seen.ran or seen.native or seen.probe.late) and seen.platform not in reported:
            reported.add(seen.platform)
            yield finding(
                "worker-stale",
                "warning",
                f"buildkitd lists {platform}; {emulation.outcome(seen)}",
                "build steps for it fail, though the list promises them",
                Fix.by(
                    provision_for(seen.platform),
                    words=f"if you do not want it, restart {manager.service}: it is gone from the list then",
                ),
                seen.platform,
            )


def _runs_here(spec: Spec, facts: Facts) -> tuple[str, ...]:
    """The platforms that are to be listed: those that are wanted, else of all that have a handler."""
    works = {each.arch for each in concerned(spec, facts) if each.ran}
    names = spec.platforms or tuple(
        p
        for p in PLATFORMS
        if of_platform(p) in works and not (facts.worker and unknown_to(facts.worker, p))
    )
    return tuple(p for p in names if of_platform(p) in works)


def _unlisted(platform: str, worker: Workers, restart: HostCommand) -> Finding | None:
    """BuildKit finds more platforms while it runs, but hides those that a listed one stands for."""
    cover = covers(worker.platforms, platform)
    if cover == "listed" or (cover and platform not in PLATFORMS):
        return None
    if since := unknown_to(worker, platform):
        return finding(
            "worker-unlisted",
            "error",
            f"BuildKit {worker.version} does not list it, {since} does",
            "buildx refuses it, and build steps may be run by another emulator than the kernel's",
            Fix.by(replace(PROVISION, options=(("buildkit_version", DEFAULT_VERSION),))),
            platform,
        )
    if not cover and not undetected(worker.platforms, [platform]):
        name = platform.split("/")[1]
        have = [each for each in worker.platforms if each.split("/")[1] == name]
        return finding(
            "worker-unlisted",
            "error",
            f"buildkitd has looked, and this processor or emulator has {', '.join(have)}",
            "build steps for it end with an illegal instruction",
            Fix(words=f"build for {have[-1]}, or on another machine"),
            platform,
        )
    seen = f"it runs here, but buildkitd lists {', '.join(worker.platforms)}"
    if cover:
        return finding(
            "worker-masked",
            "warning",
            f"{seen}: it was registered after buildkitd's start",
            "it builds here, but a client that chooses machines by the list (buildx) does not choose this one",
            Fix.by(restart),
            platform,
        )
    consequence = "buildx refuses it, and build steps may be run by another emulator than the kernel's"
    return finding("worker-unlisted", "error", seen, consequence, Fix.by(restart), platform)
