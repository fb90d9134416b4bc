"""The command line: tasks of one Invoke collection, for `./inv` and for the installed `provision`.

A task reads options, calls the room that does the work, renders the report and ends with its exit code.
"""

from __future__ import annotations

import atexit
import gc
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.program import Program
from invoke.tasks import Task

from provision import __version__
from provision.architectures import parse_platform
from provision.buildkit.version import canonical
from provision.config import load
from provision.errors import EXIT_INTERRUPTED, ProvisionError, UsageError
from provision.fleet import Fleet
from provision.grammar import shown
from provision.inventory import parse_selection
from provision.later import Later
from provision.ledger import Ledger
from provision.reach import Reach, known_to_ssh, of_fabric
from provision.report import Report, Style, output
from provision.result import HostResult
from provision.spec import LATEST, Config, Host
from provision.transport import Transport

# The first host is connected to before these are imported.
if TYPE_CHECKING:
    from provision import converge, crash, examine, health, render
    from provision.buildkit import release
    from provision.transport import handshake
else:
    converge, crash, examine, handshake, health, release, render = (
        Later(f"provision.{name}")
        for name in (
            "converge",
            "crash",
            "examine",
            "transport.handshake",
            "health",
            "buildkit.release",
            "render",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Option:
    """A flag of a task. What is None was not given; the configuration file or the default decides then."""

    help: str
    default: Any = None


REQUIRED: Final = inspect.Parameter.empty
"""The default of an argument that has to be given; it is taken by its place."""

COMMON: Final[Mapping[str, Option]] = {
    "hosts": Option(
        help="where: names, user@host:port, @group, all, !name; none = this machine", default=""
    ),
    "config": Option(
        help="the configuration file [./provision.toml, /etc/provision/provision.toml]", default=""
    ),
    "format": Option(
        help="table, or what is then alone on standard output: json, prometheus, junit, html",
        default="table",
    ),
    "jobs": Option(help="hosts at once [8]", default=""),
    "timeout": Option(help="seconds that a host may take to apply the plan [1800]", default=""),
    "ssh_config": Option(help="an ssh_config file other than your own", default=""),
    "accept_new_host_keys": Option(
        help="add unknown host keys to known_hosts; a changed key is always refused", default=False
    ),
    "ask_sudo_password": Option(help="ask once for the sudo password of all remote hosts", default=False),
    "sudo_password_command": Option(
        help="a command that prints the sudo password, such as 'pass show ci'", default=""
    ),
}
SPEC: Final[Mapping[str, Option]] = {
    "platforms": Option(
        help="a,b: linux/amd64, arm64, arm/v7 … [all that the QEMU at hand runs]", default=""
    ),
    "interpreters": Option(help="'packages', or a path pattern such as /opt/qemu/qemu-{qemu}", default=""),
    "credentials": Option(
        help="let foreign setuid programs keep their privileges (flag C): opens a way to root", default=False
    ),
    "buildkit_version": Option(help="vX.Y.Z or latest [v0.32.2]", default=""),
    "mirror": Option(help="URL or folder that holds VERSION/ASSET instead of the release host", default=""),
    "group": Option(help="the group that may use buildkitd [buildkit]", default=""),
    "fetch": Option(help="who downloads the release: auto, host or controller", default=""),
    "allow_insecure_version": Option(help="install BuildKit below v0.12.5 all the same", default=False),
}
AGAIN: Final[Mapping[str, Option]] = {
    "only_failed": Option(
        help="repeat just the hosts that did not come out well in the last run of this command",
        default=False,
    ),
}
FLEET: Final[Mapping[str, Option]] = {
    **AGAIN,
    "canary": Option(help="how many hosts must come out well before the others are begun [0]", default=""),
}
HEALTH: Final[Mapping[str, Option]] = {
    "platforms": SPEC["platforms"],
    "interpreters": SPEC["interpreters"],
    "buildkit_version": SPEC["buildkit_version"],
    "group": SPEC["group"],
    **AGAIN,
}
SEVERITY: Final = Option(
    help="exit 5 for findings as bad as this, or worse: error, warning, info", default="warning"
)
DEEP: Final = Option(
    help="also build for every platform through the daemon, and measure how slow emulation is", default=False
)
PLATFORM: Final = Option(
    help="as you call it: arm64, aarch64, linux/arm/v7, armhf, x86_64 …", default=REQUIRED
)
INTERVAL: Final = Option(help="seconds between two looks [2]", default="")
ONCE: Final = Option(help="look once instead of live; so it is where no terminal is", default=False)
_EXAMINE: Final = frozenset({"severity", "platform", "deep", "interval", "once"})
_OWN: Final = frozenset({"hosts", "config", "format", "ssh_config", "ask_sudo_password", *FLEET, *_EXAMINE})
"""Options that are no keys of the configuration file."""

Body = Callable[["Call"], Report]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One command as it was typed, with its configuration read."""

    name: str
    options: Mapping[str, Any]
    config: Config
    selection: str
    """As it was typed, or the last run's."""
    hosts: tuple[Host, ...]
    style: Style
    identities: tuple[Path, ...] = ()
    """Keys that a Fabric Connection brought along."""

    def run(self, work: Callable[[Transport, Host], HostResult], *, root: bool = True) -> Report:
        """The work on every host, as a report."""
        reach = Reach(
            config=self.config,
            ask_password=self.options["ask_sudo_password"],
            root=root,
            say=self.style.say,
            identities=self.identities,
        )
        fleet = Fleet(
            connect=reach.connect,
            work=work,
            jobs=self.config.ssh.jobs,
            progress=lambda: self.style.progress,
            meanwhile=self._meanwhile,
            canary=canary(self.options.get("canary", "")),
        )
        reach.prepare(self.hosts)
        results = fleet.run(self.hosts)
        if any(not host.local for host in self.hosts):
            ledger = Ledger.of(self.name, self.config.path)
            ledger.write(self.selection, results, others=bool(self.options.get("only_failed")))
        return Report(command=self.name, hosts=results)

    def _meanwhile(self) -> None:
        """Imports what is needed once a host has answered, in the order in which it is needed."""
        if any(not host.local for host in self.hosts):
            Later.load(handshake)
            render.prepare("session.sh", "become.sh", "boot.sh")
        Later.load(converge, *([examine] if self.name in ("health", "explain") else []))
        render.prepare("probe.sh", "buildkitd.toml", "buildkit.service", "buildkit.tmpfiles.conf")
        self.style.prepare()

    def version(self) -> str:
        """The BuildKit version; asks once for all hosts which is the latest."""
        wanted = self.config.spec.buildkit
        return canonical(wanted.version) if wanted.version != LATEST else release.wanted_version(wanted)

    def settings(self, version: str) -> converge.Run:
        """What a run on several hosts has in common."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "provision"
        return converge.Run(
            cache=cache, timeout=self.config.ssh.timeout, progress=self.style.progress, version=version
        )


def command(options: Mapping[str, Option]) -> Callable[[Body], Any]:
    """Make a task of a function from Call to Report. Invoke reads a task's flags from its signature."""

    def wrap(body: Body) -> Any:
        name = body.__name__.rstrip("_")

        places = tuple(key for key, option in options.items() if option.default is REQUIRED)

        @wraps(body)
        def run(c: Context, **given: Any) -> None:
            if {"--help", "-h"} & {given[key] for key in places}:
                # Invoke takes the word after a task with an argument for that argument, whatever it is.
                _Program(name="provision", namespace=namespace()).run(["provision", "--help", name])
            # Exit even with code 0 would end Invoke: `inv check provision` and `fab -H a,b provision` go on.
            if code := execute(name, body, given, c):
                raise Exit(code=code)

        # What has no default comes first, as in every signature.
        everything = dict(
            sorted({**COMMON, **options}.items(), key=lambda item: item[1].default is not REQUIRED)
        )
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter("c", inspect.Parameter.POSITIONAL_OR_KEYWORD),
                *(
                    inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=option.default)
                    for key, option in everything.items()
                ),
            ]
        )
        # Without auto_shortflags=False, --hosts would take -h from --help.
        return Task(
            run,
            name=name,
            auto_shortflags=False,
            positional=places,
            help={key: option.help for key, option in everything.items()},
        )

    return wrap


def execute(name: str, body: Body, given: Mapping[str, Any], context: Context) -> int:
    """Run one command and show what came of it; the exit code. No traceback ever reaches the user."""
    style = Style.of("table")
    # At its end Python goes once more through every object there is, for 40 ms, to no use.
    atexit.register(gc.freeze)
    try:
        style = Style.of(str(given["format"]))
        report = body(_call(name, given, context, style))
    except ProvisionError as error:
        return output(Report(command=name, error=error), style)
    except KeyboardInterrupt:
        style.say("interrupted: nothing was begun that is not finished or undone")
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the user gets one line, the log the rest
        return output(Report(command=name, error=crash.explain(error)), style)
    return output(report, style)


def _call(name: str, given: Mapping[str, Any], context: Context, style: Style) -> Call:
    # An empty or false option was not given: the file may say otherwise.
    flags = {
        key: value for key, value in given.items() if key not in _OWN and value not in ("", False, None)
    }
    config = load(
        given["config"] or None, flags | ({"ssh_config": given["ssh_config"]} if given["ssh_config"] else {})
    )
    ledger = Ledger.of(name, config.path)
    again = bool(given.get("only_failed"))
    asked = str(given["hosts"])
    fabric = None if asked else of_fabric(context)
    if fabric:
        asked = fabric.selection
    elif again and not asked:
        asked = ledger.last()
    hosts = parse_selection(asked, config.inventory, partial(known_to_ssh, config=config.ssh.config))
    if fabric:
        hosts = tuple(fabric.through(host) for host in hosts)
    if again:
        failed = ledger.failed(asked)
        hosts = tuple(host for host in hosts if host.name in failed)
    return Call(
        name=name,
        options=given,
        config=config,
        selection=asked,
        hosts=hosts,
        style=style,
        identities=fabric.identities if fabric else (),
    )


def canary(text: str) -> int:
    """The number of canaries. Raises UsageError."""
    if text and not re.fullmatch(r"[0-9]{1,4}", text):
        raise UsageError(f"--canary must be a number of hosts, not {shown(text)}")
    return int(text or 0)


@command({**SPEC, **AGAIN})
def check_(call: Call) -> Report:
    """Can this machine become a build machine? Kernel, binfmt_misc, systemd, room, rights: seen, needed, fix."""
    return call.run(
        lambda transport, host: converge.check(transport, call.config.spec_for(host)), root=False
    )


@command({**SPEC, **AGAIN})
def plan_(call: Call) -> Report:
    """What `provision` would do, as a diff. Exit 2 if anything would change, 0 if not."""
    version = call.version()
    return call.run(
        lambda transport, host: converge.preview(
            transport, call.config.spec_for(host), call.settings(version), local=host.local
        )
    )


@command({**SPEC, **FLEET})
def provision_(call: Call) -> Report:
    """Make it a build machine: QEMU handlers, BuildKit as a service, and proof that every platform runs."""
    version = call.version()
    return call.run(
        lambda transport, host: converge.provision(
            transport, call.config.spec_for(host), call.settings(version), local=host.local
        )
    )


@command({"platforms": SPEC["platforms"], **AGAIN})
def platforms_(call: Call) -> Report:
    """The worker's platforms: how each runs (native or emulated, by what), registered, listed."""
    return call.run(lambda transport, host: converge.platforms(transport, call.config.spec_for(host)))


@command({**HEALTH, "severity": SEVERITY, "deep": DEEP})
def health_(call: Call) -> Report:
    """Will the next build work, and after the next reboot too? Proven by execution, with the fix. Exit 5 if not."""
    bar = health.severity(call.options["severity"])
    deep = bool(call.options["deep"])
    return call.run(
        lambda transport, host: examine.check(transport, call.config.spec_for(host), bar, thorough=deep)
    )


@command({**HEALTH, "platform": PLATFORM})
def explain_(call: Call) -> Report:
    """Why a platform does or does not work: from its ELF header to a running build step. Exit 5 if it does not."""
    wanted = parse_platform(call.options["platform"])
    return call.run(lambda transport, host: examine.explain(transport, call.config.spec_for(host), wanted))


@command({"interval": INTERVAL, "once": ONCE})
def top_(call: Call) -> Report:
    """The build load of this machine, live: buildkitd and every build step and emulated process, by platform."""
    from provision import watch  # noqa: PLC0415 - psutil is for this task only

    if any(not host.local for host in call.hosts):
        raise UsageError("top shows this machine only", hint="Log in there: ssh HOST provision top")
    return watch.run(call.name, call.hosts[0].name, call.style, call.options)


@command({})
def hosts_(call: Call) -> Report:
    """What a selection of hosts means. Contacts nobody."""
    return Report(command=call.name, selection=call.hosts)


def namespace() -> Collection:
    """The product's tasks."""
    collection = Collection()
    for each in (check_, plan_, provision_, platforms_, health_, explain_, top_, hosts_):
        collection.add_task(each)
    return collection


class _Program(Program):
    """Invoke's program without its flags that would mislead: --dry is not our `plan`."""


def main() -> None:
    """The installed command `provision`."""
    if sys.platform != "linux" and "--hosts" not in " ".join(sys.argv):
        raise SystemExit("provision: this machine does not run Linux; name others by --hosts")
    _Program(name="provision", binary="provision", version=__version__, namespace=namespace()).run()
