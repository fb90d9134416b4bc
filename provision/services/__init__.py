"""The service managers: who starts buildkitd, keeps it running, and brings it and the handlers back at boot. Pure."""

from __future__ import annotations

from typing import Final

from provision.services import openrc, process, systemd
from provision.services.manager import Name, ServiceManager

MANAGERS: Final[tuple[ServiceManager, ...]] = (systemd.MANAGER, openrc.MANAGER, process.MANAGER)


def manager_of(name: Name) -> ServiceManager:
    """The manager of that name."""
    return next(each for each in MANAGERS if each.name == name)
