"""Which service manager a host has, and what it says of buildkitd and of the next boot. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from provision import paths
from provision.facts import Facts, System
from provision.services import MANAGERS, manager_of
from provision.services.manager import Name, Reading, Seen, Service, ServiceManager
from provision.spec import Spec


def running_manager(system: System) -> Name:
    """What runs as process 1 decides; nothing that this tool knows counts as none."""
    if system.systemd is not None:
        return "systemd"
    return "process" if system.openrc is None else "openrc"


def runs(manager: ServiceManager, system: System) -> bool:
    """Whether services of that manager can run on a machine. Without any, a process can always."""
    return manager.name in ("process", running_manager(system))


def service_manager(spec: Spec, facts: Facts) -> ServiceManager:
    """The one that buildkitd is to be run by."""
    wanted = spec.buildkit.service
    return manager_of(running_manager(facts.system) if wanted == "auto" else wanted)


def reading(spec: Spec, facts: Facts) -> Reading:
    """What that manager says."""
    return service_manager(spec, facts).read(seen(facts))


def others(spec: Spec, facts: Facts) -> Iterator[tuple[ServiceManager, Service]]:
    """The managers that are not to run buildkitd, with what they say of it."""
    chosen = service_manager(spec, facts)
    for manager in MANAGERS:
        if manager.name not in (chosen.name, chosen.rests_on):
            yield manager, manager.read(seen(facts)).service


def seen(facts: Facts) -> Seen:
    """What managers read."""
    return Seen(
        units=facts.units,
        loader_refuses=facts.binfmt.loader_refuses,
        support_early=facts.binfmt.support_early,
        init_scripts=facts.init_scripts,
        script=paths.SERVICE_SCRIPT in facts.files,
        mark=facts.mark,
    )
