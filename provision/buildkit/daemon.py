"""The daemon's files: buildkitd.toml, its unit, and the folder of its socket. All three are pure texts."""

from __future__ import annotations

from typing import Final

from provision import paths
from provision.buildkit import values
from provision.buildkit.gc import MAX_USED, Size, limits, sized
from provision.buildkit.version import at_least
from provision.errors import ConfigError
from provision.render import render
from provision.spec import Buildkit, Log

# The first release whose configuration knows the key (cmd/buildkitd/config/config.go at each tag). An older
# daemon would ignore it without a word.
_LIMITS_SINCE: Final = "v0.17.0"
_LEVEL_SINCE: Final = "v0.30.0"
_FORMAT_SINCE: Final = "v0.13.0"
_BRIDGE_SINCE: Final = "v0.13.0"
_PARALLELISM_SINCE: Final = "v0.9.0"


def render_config(buildkit: Buildkit, version: str, disk_bytes: int) -> str:
    """The text of buildkitd.toml for the daemon of `version`.

    `disk_bytes` is the size of the filesystem that holds the daemon's state, 0 if unknown; limits the user
    leaves open follow from it (`limits.sized`). Addresses are in the unit: one --addr overrides them all.
    Raises ConfigError for a value the daemon would misread, or a key that is too new for `version`.
    """
    tls = buildkit.tls
    if tls is not None:
        values.paths("buildkit.tls", tuple(path for path in (tls.cert, tls.key, tls.ca) if path is not None))
    return render(
        "buildkitd.toml",
        version=version,
        log=_log(buildkit.log, version),
        tls=tls,
        dns=buildkit.dns,
        gc=_gc(buildkit, version, disk_bytes),
        max_parallelism=_max_parallelism(buildkit, version),
        network=_network(buildkit, version),
        labels=values.labels(buildkit.labels),
        registries={host: values.registry(host, wanted) for host, wanted in buildkit.registries.items()},
    )


def render_unit(buildkit: Buildkit, version: str, generation: str) -> str:
    """The text of buildkit.service.

    `generation` names what the daemon is started from; a later run reads it from the daemon's environment.
    Raises ConfigError for a group or address that is refused.
    """
    return render(
        "buildkit.service",
        version=version,
        generation=generation,
        group=values.group(buildkit.group),
        addresses=(
            f"unix://{paths.SOCKET}",
            *(values.listen(each, buildkit.tls) for each in buildkit.listen),
        ),
        paths=paths,
    )


def render_tmpfiles(buildkit: Buildkit) -> str:
    """The text of tmpfiles.d/buildkit.conf. Raises ConfigError for a group's name that is none."""
    return render("buildkit.tmpfiles.conf", group=values.group(buildkit.group), paths=paths)


def warnings(buildkit: Buildkit) -> tuple[str, ...]:
    """What is allowed and dangerous all the same, a sentence each."""
    exposed = buildkit.listen and (buildkit.tls is None or buildkit.tls.ca is None)
    if not exposed or buildkit.network == "bridge":
        return ()
    warning = (
        f"Every build step shares the host's network: without TLS it can reach {buildkit.listen[0]} and "
        'become root on this machine. Set buildkit.network = "bridge", or buildkit.tls.'
    )
    return (warning,)


def _need(version: str, since: str, setting: str, hint: str) -> None:
    if not at_least(version, since):
        raise ConfigError(
            f"{setting} is too new for BuildKit {version}",
            cause=f"it appeared in {since}; an older daemon ignores it without a word",
            hint=hint,
        )


def _log(log: Log, version: str) -> dict[str, str]:
    """Defaults are not written, so that an older daemon is not asked for what it lacks."""
    hint = "Leave it out, or choose a newer version."
    written: dict[str, str] = {}
    if log.format != Log.format:
        _need(version, _FORMAT_SINCE, f'buildkit.log.format = "{log.format}"', hint)
        written["format"] = log.format
    if log.level != Log.level:
        _need(version, _LEVEL_SINCE, f'buildkit.log.level = "{log.level}"', hint)
        written["level"] = log.level
    return written


def _gc(buildkit: Buildkit, version: str, disk_bytes: int) -> dict[str, Size]:
    if at_least(version, _LIMITS_SINCE):
        return limits(buildkit.gc, disk_bytes)
    for key in buildkit.gc:
        _need(
            version, _LIMITS_SINCE, f"buildkit.gc.{key}", "Leave it out: the disk's size limits the cache."
        )
    maximum = sized(disk_bytes).get(MAX_USED)
    # The one limit there was then: what is above it is collected.
    return {} if maximum is None else {"gckeepstorage": maximum}


def _max_parallelism(buildkit: Buildkit, version: str) -> int | None:
    steps = buildkit.max_parallelism
    if steps is None:
        return None
    if isinstance(steps, bool) or steps < 1:
        raise ConfigError(
            f"buildkit.max_parallelism = {steps!r} is not a number of steps",
            hint="Write 1 or more, or leave it out for no limit.",
        )
    _need(
        version, _PARALLELISM_SINCE, "buildkit.max_parallelism", "Leave it out, or choose a newer version."
    )
    return steps


def _network(buildkit: Buildkit, version: str) -> str | None:
    """None for "auto", which is what the daemon does anyway."""
    if buildkit.network == "bridge":
        _need(version, _BRIDGE_SINCE, 'buildkit.network = "bridge"', 'Use "cni", or choose a newer version.')
    return None if buildkit.network == "auto" else buildkit.network
