"""The host and the login that `fab -H`, or a program with a Fabric Connection, gives a task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provision.spec import Host
from provision.transport import Secret


@dataclass(frozen=True, kw_only=True)
class FromFabric:
    """What a Fabric Connection was given, beyond Fabric's own reading of the SSH configuration."""

    selection: str
    jump: str | None
    identities: tuple[Path, ...]
    sudo_password: Secret | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """What `fab` has to be given for the same Connection."""
        return (*(word for key in self.identities for word in ("-i", str(key))), "-H", self.selection)

    def through(self, host: Host) -> Host:
        """The host by way of the Connection's gateway, if it has one."""
        return replace(host, jump=self.jump) if self.jump else host


def of_fabric(context: Any) -> FromFabric | None:
    """The host of `fab -H`, or of a Connection that a program gave; None for a plain context.

    Values from the SSH configuration are left out: we read more of it than Fabric does (Include, Match).
    """
    name = getattr(context, "original_host", None)
    if not name:
        return None
    configured = context.ssh_config
    user = None if context.user == configured.get("user", context.config.user) else context.user
    port = None if context.port == int(configured.get("port", context.config.port)) else context.port
    place = f"[{name}]" if port and ":" in name else name
    gateway = None if "proxyjump" in configured else getattr(context.gateway, "host", None)
    keys = context.connect_kwargs.get("key_filename") or ()
    password = context.config.sudo.password
    return FromFabric(
        selection=f"{user}@" * bool(user) + place + f":{port}" * bool(port),
        jump=f"{context.gateway.user}@{gateway}:{context.gateway.port}" if gateway else None,
        identities=tuple(Path(key) for key in ([keys] if isinstance(keys, str) else keys)),
        sudo_password=Secret(password) if password else None,
    )
