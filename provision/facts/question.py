"""The one question to a host: renders `templates/probe.sh`, whose output has all facts. It depends on the spec."""

from __future__ import annotations

import random
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from provision import elf, paths
from provision.architectures import ARCHITECTURES
from provision.config.names import is_loopback
from provision.facts import PATIENCE, packages
from provision.facts.interpreters import candidates, wanted_rows
from provision.facts.local_emulators import emulators_to_send
from provision.render import render
from provision.services import openrc, process
from provision.spec import PACKAGES, Spec

TOOLS: Final = (
    *("apt-get", "dnf", "apk", "pacman", "zypper"),
    *("curl", "wget", "tar", "gzip", "sha256sum", "dd", "chroot", "mktemp", "stat", "od"),
    *(
        "sudo",
        "systemctl",
        "systemd-tmpfiles",
        "modprobe",
        "mount",
        "unshare",
        "groupadd",
        "addgroup",
        "usermod",
        "iptables",
    ),
)
"""Commands whose presence is a fact."""

MANAGED: Final = (
    *(paths.CURRENT, paths.BUILDCTL, paths.CONFIG, paths.UNIT, paths.TMPFILES, paths.MODULES),
    *(paths.LOADER, paths.SUPPORT_ORDER, paths.SERVICE_SCRIPT, paths.OPENRC_SCRIPT, paths.OPENRC_LOADER),
    *(paths.SOCKET, paths.SOCKET_FOLDER, f"{paths.CONFIG}{paths.KEPT}"),
    *(paths.rule(arch.qemu) for arch in ARCHITECTURES),
)
"""Files whose whole content is a fact."""

TREES: Final = tuple(
    dict.fromkeys(
        (
            *(
                path.rpartition("/")[0]
                for path in MANAGED
                if path not in (paths.SOCKET, paths.SOCKET_FOLDER)
            ),
            *(paths.RELEASES, paths.CACHE, paths.OWN, paths.EMULATORS, "/etc", "/usr", "/run"),
            *(paths.STATE, paths.SCRATCH),
        )
    )
)
"""Folders that steps or the daemon write to, whose real places are a fact."""

DISKS: Final = ("/", paths.STATE, paths.RELEASES, "/tmp")  # noqa: S108 - looked at, not used
"""Folders for whose filesystems the room is a fact."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A script for a host, and how many arguments each probe program in it is started with."""

    script: str
    expected: Mapping[str, int]


def argc() -> int:
    """A random number of arguments for a probe program: no stub with a constant exit status can pass.

    3 to 99: shells and signals use the exit codes from 126 on, and a shifted argv must not look like a failure (1).
    """
    return random.SystemRandom().randint(3, 99)


def question(spec: Spec, *, registries: bool = False, sizes: bool = False) -> Question:
    """The facts script for a host that is to become as `spec` says.

    `registries`: it asks those of the spec, too. `sizes`: it also measures our folders.
    """
    emulators = emulators_to_send(spec)
    expected = {arch.qemu: argc() for arch in ARCHITECTURES}
    programs = [
        {
            "name": arch.qemu,
            "octal": elf.octal(elf.probe(arch)),
            "marked": elf.octal(elf.marked(elf.probe(arch))),
            "argc": expected[arch.qemu],
        }
        for arch in ARCHITECTURES
    ]
    tls = spec.buildkit.tls
    wanted = [
        {
            "name": arch.qemu,
            "argc": expected[arch.qemu],
            "candidates": candidates(arch, spec, emulators),
        }
        for arch in wanted_rows(spec)
    ]
    script = render(
        "probe.sh",
        nonce=secrets.token_hex(8),
        tools=TOOLS,
        interpreters=[path for arch in wanted_rows(spec) for path in candidates(arch, spec, emulators)],
        wanted=wanted,
        packagers=_packagers() if spec.emulation.interpreters == PACKAGES else (),
        probes=programs,
        patience=PATIENCE,
        files=(*MANAGED, *((paths.CNI,) if spec.buildkit.network == "cni" else ())),
        group=spec.buildkit.group,
        users=spec.buildkit.users,
        source=spec.buildkit.source,
        disks=DISKS,
        trees=TREES,
        init_scripts=openrc.SERVICES,
        start_line=process.START_LINE,
        certificates=[path for path in (tls.cert, tls.key, tls.ca) if path] if tls else [],
        key=tls.key if tls else "",
        registries=_registries(spec) if registries else [],
        sizes=sizes,
        paths=paths,
    )
    return Question(script=script, expected=expected)


def _packagers() -> tuple[Mapping[str, str], ...]:
    """Each package manager, and a format of printf that gives the names of packages for QEMU's names."""
    return tuple(
        {
            "command": row.command,
            "format": "".join(f"{name.replace('{qemu}', '%s')} " for name in row.names),
        }
        for row in packages.MANAGERS
    )


def _registries(spec: Spec) -> list[dict[str, object]]:
    """How each registry of the configuration is asked, as the daemon asks it."""
    asked: list[dict[str, object]] = []
    for host, settings in spec.buildkit.registries.items():
        plain = settings.http or (is_loopback(host.rpartition(":")[0] or host) and not settings.ca)
        # One file is all that curl takes; without a file of its own it takes the system's.
        options = (
            ["--cacert", settings.ca[0]] if settings.ca else ["--insecure"] if settings.insecure else []
        )
        name = "registry-1.docker.io" if host == "docker.io" else host
        asked.append(
            {
                "name": host,
                "pattern": re.sub(r"[^A-Za-z0-9:-]", lambda found: f"[{found[0]}]", host),
                "url": f"{'http' if plain else 'https'}://{name}/v2/",
                "options": options,
            }
        )
    return asked
