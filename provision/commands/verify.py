"""`verify`: what a registry holds under a name, against what was meant. From this machine; no host is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping

from provision.images.verify import Outcome, Wish
from provision.images.verify import verify as verified
from provision.registry.client import Client
from provision.registry.credentials import find
from provision.registry.errors import AbsentError, RegistrySilentError
from provision.registry.reference import Reference, parse
from provision.registry.web import Web
from provision.report.progress import Progress
from provision.result import HostResult, HostStatus, Severity, reaches
from provision.spec import Config, Registry


def verify(
    image: str, config: Config, progress: Progress, threshold: Severity, *, quick: bool
) -> HostResult:
    """The image as a result, `unhealthy` if anything is as bad as `threshold`.

    Raises UsageError, ConfigError, RegistryError, RegistrySilentError, UnpackError.
    """
    begun = time.monotonic()
    reference = parse(image)
    wish = Wish(
        platforms=config.spec.platforms,
        quick=quick,
        watch=lambda platform, done, total: progress.transfer(image, platform, done, total),
    )
    with progress:
        outcome, source = _read(reference, config, wish)
        bad = any(reaches(each, threshold) for each in outcome.findings)
        status: HostStatus = "unhealthy" if bad else "ok"
        progress.finish(image, status)
    mirrored = (
        (f"{reference.host} does not answer: this was read from its mirror {source}",) if source else ()
    )
    return HostResult(
        host=image,
        status=status,
        findings=outcome.findings,
        images=outcome.rows,
        notes=(*(() if reference.digest else (f"{reference} is {outcome.digest}",)), *mirrored),
        seconds=time.monotonic() - begun,
    )


def _read(reference: Reference, config: Config, wish: Wish) -> tuple[Outcome, str]:
    """From the registry itself, which was pushed to; from a mirror, whose name follows, only if it is silent."""
    registries = config.spec.buildkit.registries
    timeout = config.ssh.patience
    try:
        return _from(reference.host, reference.repository, "", reference, registries, wish, timeout), ""
    except RegistrySilentError:
        own = registries.get(reference.host)
        for mirror in own.mirrors if own else ():
            host, _, folder = mirror.partition("/")
            repository = f"{folder}/{reference.repository}" if folder else reference.repository
            try:
                outcome = _from(host, repository, reference.host, reference, registries, wish, timeout)
            except (RegistrySilentError, AbsentError):
                continue
            return outcome, mirror
        raise


def _from(
    host: str,
    repository: str,
    mirrored: str,
    reference: Reference,
    registries: Mapping[str, Registry],
    wish: Wish,
    timeout: float,
) -> Outcome:
    web = Web(host, registries, connect_timeout=timeout)
    try:
        client = Client(web, repository, find(host), mirrored=mirrored)
        return verified(client, reference, wish)
    finally:
        web.close()
