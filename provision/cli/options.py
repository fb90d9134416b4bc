"""The flags of the tasks: one row for each, with what `--help` says of it and how its text is read."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provision.architectures import parse_platform
from provision.commands import INTERVAL as TOP_INTERVAL
from provision.commands import LOG_LINES, MOST_LINES, SINCE_LINES
from provision.config.load import PLACES
from provision.config.settings import SETTINGS
from provision.config.table import Override
from provision.config.values import Reader, integer, number, one_of, seconds, words
from provision.errors import UsageError
from provision.logs.since import read_since
from provision.recipes import FORMATS
from provision.result import SEVERITIES

REQUIRED: Final = inspect.Parameter.empty
"""The default of an argument that has to be given; it is taken by its place."""


SHELLS: Final = ("bash", "zsh", "fish")
"""Those that commands are completed in."""


def _as_typed(value: object) -> object:
    return value


def _numeric(reader: Reader[Any]) -> Reader[Any]:
    return lambda value: reader(number(value))


@dataclass(frozen=True, kw_only=True)
class Option:
    """A flag of a task, or with the default REQUIRED the task's argument."""

    help: str
    setting: str = ""
    """The key of the configuration file that it overrides, `ssh.jobs`; empty for a flag that is no key."""
    read: Reader[Any] = _as_typed
    """From what was typed to the value; for a setting to what the file would hold. Raises ValueError or UsageError."""
    default: Any = ""
    """What Invoke gives where the flag was not typed: "" for text, False for a switch."""
    value: str = ""
    """What the help calls its value, such as SECONDS; empty for a switch, and where the flag's own name says it."""
    short: str = ""
    """A letter that stands for it as well, where everybody types that."""
    unset: str = ""
    """What that means, in words for the help; empty: a setting's row knows it itself."""

    @property
    def is_argument(self) -> bool:
        """Whether it is taken by its place."""
        return self.default is REQUIRED

    @property
    def help_text(self) -> str:
        """The help text, with the default in brackets."""
        default = self.unset or (SETTINGS[self.setting].default_text if self.setting else "")
        return f"{self.help} [{default}]" if default else self.help

    def value_name(self, name: str) -> str:
        """What the help calls the value of the flag of that name."""
        return self.value or name.upper()

    def given(self, value: object) -> bool:
        """Whether there is something to read. A switch that is off, and text left empty, were not given."""
        return value not in ("", False, None) or self.default not in ("", False)


COMMON: Final[Mapping[str, Option]] = {
    "hosts": Option(
        value="HOSTS",
        help="where: names, user@host:port, @group, all, !name; none = this machine",
    ),
    "config": Option(value="FILE", help="the configuration file", unset=", ".join(map(str, PLACES))),
    "format": Option(
        value="FORMAT",
        help="table, or what is then alone on standard output: json, prometheus, junit, html",
        default="table",
    ),
    "jobs": Option(value="NUMBER", help="hosts at once", setting="ssh.jobs", read=number),
    "connect_timeout": Option(
        value="SECONDS",
        help="seconds to wait for a host to answer",
        setting="ssh.connect_timeout",
        read=number,
    ),
    "timeout": Option(
        value="SECONDS",
        help="seconds that a host may take to apply the plan",
        setting="ssh.timeout",
        read=number,
    ),
    "ssh_config": Option(value="FILE", help="an ssh_config file", setting="ssh.config"),
    "accept_new_host_keys": Option(
        help="add unknown host keys to known_hosts; a changed key is always refused",
        setting="ssh.accept_new_host_keys",
        default=False,
    ),
    "ask_sudo_password": Option(help="ask once for the sudo password of all remote hosts", default=False),
    "sudo_password_command": Option(
        value="COMMAND",
        help="a command that prints the sudo password, such as 'pass show ci'",
        setting="ssh.sudo_password_command",
    ),
}
SPEC: Final[Mapping[str, Option]] = {
    "platforms": Option(
        value="PLATFORMS", help="a,b: linux/amd64, arm64, arm/v7 …", setting="platforms", read=words
    ),
    "interpreters": Option(
        value="PATTERN",
        help="'packages', or a path pattern such as /opt/qemu/qemu-{qemu}",
        setting="emulation.interpreters",
    ),
    "credentials": Option(
        help="let foreign setuid programs keep their privileges (flag C): opens a way to root",
        setting="emulation.credentials",
        default=False,
    ),
    "buildkit_version": Option(value="VERSION", help="vX.Y.Z or latest", setting="buildkit.version"),
    "mirror": Option(
        value="FOLDER", help="URL or folder that holds VERSION/ASSET", setting="buildkit.mirror"
    ),
    "group": Option(value="GROUP", help="the group that may use buildkitd", setting="buildkit.group"),
    "source": Option(
        value="SOURCE",
        help="where BuildKit comes from: auto, release, or go (built here from its Go module)",
        setting="buildkit.source",
    ),
    "service": Option(
        value="MANAGER",
        help="what runs buildkitd: auto, systemd, openrc or process",
        setting="buildkit.service",
    ),
    "fetch": Option(
        value="WHO", help="who downloads the release: auto, host or controller", setting="buildkit.fetch"
    ),
    "drain": Option(
        value="DURATION",
        help="how long a restart waits for running builds, such as 90s, 10m, 1h; 0: at once",
        setting="buildkit.drain",
    ),
    "allow_insecure_version": Option(
        help="install BuildKit below v0.12.5 all the same",
        setting="buildkit.allow_insecure_version",
        default=False,
    ),
}
AGAIN: Final[Mapping[str, Option]] = {
    "only_failed": Option(
        help="repeat only the hosts that did not succeed in the last run of this command",
        default=False,
    ),
}
FLEET: Final[Mapping[str, Option]] = {
    **AGAIN,
    "canary": Option(
        value="NUMBER",
        help="how many hosts must succeed before the others begin",
        unset="0",
        read=_numeric(integer(0, 9999)),
    ),
}
HEALTH: Final[Mapping[str, Option]] = {
    "platforms": SPEC["platforms"],
    "interpreters": SPEC["interpreters"],
    "buildkit_version": SPEC["buildkit_version"],
    "group": SPEC["group"],
    "service": SPEC["service"],
    **AGAIN,
}
ROLLBACK: Final = Option(help="what `rollback` would do instead", default=False)
LEAVE: Final = Option(help="what `remove` would do instead", default=False)
PURGE: Final = Option(
    help="remove also what others may use by now: packages and the group that this tool brought, BuildKit's cache",
    default=False,
)
YES: Final = Option(help="do not ask", default=False)
WAY_BACK: Final[Mapping[str, Option]] = {
    name: SPEC[name] for name in ("platforms", "group", "service", "drain")
}
ADOPT: Final = Option(
    help="also show the lines for provision.toml that keep the settings of somebody else's buildkitd.toml",
    default=False,
)
SEVERITY: Final = Option(
    value="SEVERITY",
    help=f"exit 5 for findings as bad as this, or worse: {', '.join(SEVERITIES)}",
    default="warning",
    unset="warning",
    read=one_of(SEVERITIES),
)
DEEP: Final = Option(
    help="also build for every platform through the daemon, and measure how slow emulation is", default=False
)
NO_PROOF: Final = Option(help="leave out the build for each platform that a run ends with", default=False)
PLATFORM: Final = Option(
    value="PLATFORM",
    help="as you call it: arm64, aarch64, linux/arm/v7, armhf, x86_64 …",
    default=REQUIRED,
    read=lambda value: parse_platform(str(value)),
)
INTERVAL: Final = Option(
    value="SECONDS",
    help="seconds between two measurements",
    unset=f"{TOP_INTERVAL:g}",
    read=_numeric(seconds(0.1, 3600)),
)
ONCE: Final = Option(help="measure once instead of live, as is done without a terminal", default=False)
IMAGE: Final = Option(
    value="IMAGE", help="as you pushed it: [HOST[:PORT]/]NAME[:TAG], or …@sha256:…", default=REQUIRED
)
QUICK: Final = Option(
    help="read only the layers that it takes to judge what the image starts, not all for their digests and files",
    default=False,
)
WANTED: Final = Option(
    value="PLATFORMS",
    help="a,b: what the image must have, no more and no less",
    setting="platforms",
    unset="those of provision.toml; none there: any",
    read=words,
)
SINCE: Final = Option(
    value="TIME",
    help="only what is newer: a duration such as 10m, 2h or 3d, or a time such as 2026-05-31T14:00",
    read=read_since,
)
LINES: Final = Option(
    value="NUMBER",
    help="lines of the log",
    unset=f"{LOG_LINES}, with --since {SINCE_LINES}",
    read=_numeric(integer(1, MOST_LINES)),
)
FOLLOW: Final = Option(help="go on showing the log as it grows, until Ctrl-C", default=False)
BUNDLE: Final = Option(
    value="FILE",
    help="also write an archive with all of it, facts, health, plan and configuration, without secrets",
    read=lambda value: Path(str(value)),
)
RECIPE: Final = Option(
    value="RECIPE", help=", ".join(FORMATS), default=REQUIRED, read=one_of(tuple(FORMATS))
)
PUSHED: Final = Option(
    value="IMAGE",
    help="as it is to be pushed: REGISTRY/NAME:TAG",
    unset="where the CI system has a registry, that one",
)
TOOL: Final = Option(
    value="TOOL",
    help="what pip installs this tool from, pinned: git+https://HOST/PROJECT@COMMIT, or the address of a wheel",
    unset="from where this copy came",
)
SHELL: Final = Option(
    value="SHELL",
    help=", ".join(SHELLS),
    default=REQUIRED,
    read=one_of(SHELLS),
)
REGISTRY: Final = Option(
    value="REGISTRY", help="as images name it: HOST[:PORT]; docker.io is Docker Hub", default=REQUIRED
)
USERNAME: Final = Option(value="USER", help="who logs in", default="", short="u")
OF_BUILDER: Final = Option(
    value="NAME",
    help="instead of hosts: a builder of buildx on this machine, its nodes, and one build through it",
)
CLIENT: Final = Option(
    value="CLIENT", help="whom the certificate is for, a person or a pipeline", default=REQUIRED
)
OUT: Final = Option(value="FOLDER", help="the folder for ca.pem, cert.pem and key.pem", unset="./CLIENT")
VARIABLES: Final = Option(
    help="write variables.env instead, with the secrets of a pipeline: gh secret set --env-file",
    default=False,
)
REVOKE: Final = Option(help="shut this client out, once provision has run for all hosts", default=False)
CERTIFICATES: Final = Option(
    value="FOLDER",
    help="for TLS: the folder of client-cert with this machine's certificate",
    unset="your own authority's",
)
BUILDER: Final = Option(value="NAME", help="the builder's name", default="", unset="provision")
PRINT: Final = Option(
    help="show it as shell lines and as a step of a GitHub workflow, and change nothing; --format json: as JSON",
    default=False,
)
REMOVE: Final = Option(help="take the builder away again; its hosts are not touched", default=False)
PASSWORD_STDIN: Final = Option(help="read the password from standard input", default=False)
PASSWORD: Final = Option(
    value="PASSWORD", help="is refused: every user of this machine could read it", default="", short="p"
)


def overrides(options: Mapping[str, Option], typed: Mapping[str, Any]) -> tuple[Override, ...]:
    """What was typed for settings."""
    return tuple(
        Override(flag=_flag(name), setting=option.setting, value=option.read(typed[name]))
        for name, option in options.items()
        if option.setting and option.given(typed[name])
    )


def read(options: Mapping[str, Option], typed: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the options that are no settings; None where one was not given. Raises UsageError."""
    return {
        name: _read(name, option, typed[name]) if option.given(typed[name]) else None
        for name, option in options.items()
        if not option.setting
    }


def _read(name: str, option: Option, value: object) -> Any:
    try:
        return option.read(value)
    except ValueError as error:
        word = option.value_name(name) if option.is_argument else _flag(name)
        raise UsageError(f"{word} {error}") from None


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
