"""What every task does: reads its options and the configuration, runs on the hosts, reports, ends with a code."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task

from provision import crash, lazy, user_folders
from provision.cli import called
from provision.cli.fabric import of_fabric
from provision.cli.options import COMMON, REQUIRED, Option, overrides, read
from provision.commands.once import Machines
from provision.config.load import load
from provision.errors import ProvisionError, UsageError
from provision.fix import Place
from provision.hosts.by_hand import ssh_words
from provision.hosts.connect import Connector, known_to_ssh
from provision.hosts.fleet import Fleet, not_begun_result
from provision.hosts.history import RunHistory
from provision.hosts.interruption import Interruption, number_of
from provision.hosts.room import jobs_that_fit
from provision.hosts.selection import parse_selection
from provision.lazy import LazyModule
from provision.report import Report, Style, output, streams
from provision.result import HostResult
from provision.spec import LATEST, Config, Host
from provision.transport import Secret, StoppedError, Transport

# The first host is connected to before these are imported.
if TYPE_CHECKING:
    from provision import render
    from provision.builder import tls
    from provision.buildkit import choice
    from provision.certificates import store
    from provision.commands import builder, certificates, change, client_cert, inspect
    from provision.transport.ssh import handshake
else:
    tls, builder, certificates, client_cert, change, choice, inspect, handshake, render, store = (
        LazyModule(f"provision.{name}")
        for name in (
            "builder.tls",
            "commands.builder",
            "commands.certificates",
            "commands.client_cert",
            "commands.change",
            "buildkit.choice",
            "commands.inspect",
            "transport.ssh.handshake",
            "render",
            "certificates.store",
        )
    )

Body = Callable[["Call"], Report]

TASKS: Final = Collection()
"""The product's tasks."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One command as it was typed, with its configuration read."""

    name: str
    typed: Mapping[str, Any]
    """All options as they were typed, for a fix that repeats them."""
    options: Mapping[str, Any]
    """The values of the options that are no settings; None where one was not given."""
    config: Config
    selection: str
    """As it was typed, or the last run's."""
    hosts: tuple[Host, ...]
    style: Style
    interruption: Interruption = field(default_factory=Interruption)
    identities: tuple[Path, ...] = ()
    """Keys that a Fabric Connection brought along."""
    sudo_password: Secret | None = None
    """Fabric's own, for where ours has none."""
    machines: Machines = field(default_factory=Machines)
    program: tuple[str, ...] = (called.INSTALLED,)
    """How the user calls this program: a name, or more words that select the host as well (`fab -H pi1`)."""

    def _listeners(self) -> Iterator[tuple[str, builder.Listener]]:
        for host in self.hosts:
            if port := tls.port_of(self.config.spec_for(host)):
                yield host.name, builder.Listener(name=next(iter(host.names), None), port=port)

    def _client(self) -> tls.Client:
        """This machine's certificate: the user's own choice, or one that the authority here gives and renews."""
        given = self.options["certificates"]
        if given:
            return tls.Client(folder=Path(given))
        folder = user_folders.config() / "client"
        if any(self._listeners()) and not self.options["print"]:
            authority = store.authority(user_folders.config(), self.config.spec.buildkit.tls)
            client_cert.keep(folder, authority)
        return tls.Client(folder=folder)

    def connector(self, *, root: bool = True, silent: bool = False, as_login: bool = False) -> Connector:
        """What connects to the hosts. `as_login`: the work on others is the login user's.

        `silent`: no progress is shown.
        """
        return Connector(
            config=self.config,
            ask_password=bool(self.options["ask_sudo_password"]),
            root=root,
            as_login=as_login,
            say=lambda line: self.style.say(line) if silent else self.style.progress.say(line),
            identities=self.identities,
            sudo_password=self.sudo_password,
        )

    def aim(self, name: str) -> builder.Aim:
        """The builder that the hosts are to become."""
        connector = self.connector()
        return builder.Aim(
            name=name,
            targets={host.name: None if host.local else connector.target(host) for host in self.hosts},
            listeners=dict(self._listeners()),
            client=self._client(),
            ssh=connector.settings(),
            buildx=self.config.buildx,
            cache=user_folders.cache(),
            progress=self.style.progress,
            printing=bool(self.options["print"]),
        )

    def run(
        self,
        work: Callable[[Transport, Host], HostResult],
        *,
        root: bool = True,
        silent: bool = False,
        as_login: bool = False,
    ) -> Report:
        """The work on every host, as a report.

        `silent`: the work prints by itself, and no progress is shown. `as_login`: on other hosts it is
        the login user's. Raises UsageError where this machine is among the hosts and does not run Linux.
        """
        require_linux(self.hosts)
        connector = self.connector(root=root, silent=silent, as_login=as_login)
        fleet = Fleet(
            connect=connector.connect,
            work=work,
            jobs=jobs_that_fit(self.config.ssh.jobs),
            progress=lambda: self.style.silence if silent else self.style.progress,
            meanwhile=self._meanwhile,
            canary=self.options.get("canary") or 0,
            interruption=self.interruption,
        )
        try:
            connector.prepare(self.hosts)
        except KeyboardInterrupt as error:
            self.interruption.number = number_of(error)
            results = tuple(map(not_begun_result, self.hosts))
            self._record(results)
        else:
            # Once the fleet has ended, nothing is left that could be stopped.
            with self.interruption.told(lambda: None):
                results = fleet.run(self.hosts)
                self._record(results)
        placed = tuple(map(self.placed, self.hosts, results))
        return Report(command=self.name, hosts=placed, signal=self.interruption.number)

    def _record(self, results: Sequence[HostResult]) -> None:
        """For `--only-failed`."""
        if any(not host.local for host in self.hosts):
            history = RunHistory.of(self.name, self.config.path)
            history.write(self.selection, results, others=bool(self.options.get("only_failed")))

    def placed(self, host: Host, result: HostResult) -> HostResult:
        """The result with all that its fixes need to be written for the person who reads them here."""
        unnamed = host.local or len(self.program) > 1
        place = replace(
            result.place,
            program=self.program,
            selection=() if unnamed else ("--hosts", host.name),
            options=called.repeated(self.typed),
            ssh=ssh_words(host, self.config, login=result.place.login, identities=self.identities),
        )
        return replace(result, place=place)

    def _meanwhile(self) -> None:
        """Imports what is needed once a host has answered, in the order in which it is needed."""
        if any(not host.local for host in self.hosts):
            lazy.load(handshake)
            render.prepare("session.sh", "become.sh", "boot.sh")
        lazy.load(change if self.name in ("plan", "provision", "rollback", "remove") else inspect)
        render.prepare("probe.sh", "buildkitd.toml", "buildkit.service", "buildkit.tmpfiles.conf")
        self.style.prepare()

    def version(self) -> str:
        """The BuildKit version; asks once for all hosts which is the latest."""
        wanted = self.config.spec.buildkit
        return (
            wanted.version
            if wanted.version != LATEST
            else choice.wanted_version(wanted, user_folders.cache())
        )

    def settings(self, version: str) -> change.RunSettings:
        """What a run on several hosts has in common."""
        return change.RunSettings(
            cache=user_folders.cache(),
            timeout=self.config.ssh.timeout,
            progress=self.style.progress,
            version=version,
            proof=not self.options.get("no_proof"),
            machines=self.machines,
            interruption=self.interruption,
            certifier=self._certifier(),
        )

    def _certifier(self) -> certificates.Certifier | None:
        """With the authority, which `provision` makes where there is none yet."""
        tls = self.config.spec.buildkit.tls
        if tls is None or not tls.own:
            return None
        authority = store.authority(user_folders.config(), tls)
        if self.name == "provision" and authority.make():
            self.style.say(
                f"your own authority is now in {authority.folder}: keep a copy, and let nobody else read it"
            )
        return certificates.Certifier(authority=authority)


class _Task(Task):  # type: ignore[misc, type-arg, unused-ignore]
    """Some flags have a letter as well: `-u`. The help shows examples."""

    def __init__(
        self,
        body: Callable[..., Any],
        options: Mapping[str, Option],
        examples: tuple[str, ...],
        **more: Any,
    ) -> None:
        self.options = options
        self.examples = examples
        self._letters = {key: option.short for key, option in options.items() if option.short}
        super().__init__(body, **more)

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """See Invoke."""
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        if letter := self._letters.get(name):
            options["names"] = (*options["names"], letter)
        return options


def command(options: Mapping[str, Option], *examples: str) -> Callable[[Body], Any]:
    """Make a function from Call to Report one of TASKS. Invoke reads a task's flags from its signature.

    Each of the `examples` is a whole command without the program's name.
    """

    def wrap(body: Body) -> Any:
        name = body.__name__.rstrip("_").replace("_", "-")

        places = tuple(key for key, option in options.items() if option.default is REQUIRED)

        # Arguments without a default come first, as in every signature.
        everything = dict(
            sorted({**COMMON, **options}.items(), key=lambda item: item[1].default is not REQUIRED)
        )
        defaults = {key: option.default for key, option in everything.items()}

        @wraps(body)
        def run(c: Context, *words: Any, **given: Any) -> None:
            # Invoke gives every option, a program that calls the task only some.
            typed = defaults | dict(zip(defaults, words, strict=False)) | given
            # Exit even with code 0 would end Invoke: `inv check provision` and `fab -H a,b provision` go on.
            if code := execute(name, body, everything, typed, c):
                raise Exit(code=code)

        run.__signature__ = Signature(  # type: ignore[attr-defined]
            [
                Parameter("c", Parameter.POSITIONAL_OR_KEYWORD),
                *(
                    Parameter(key, Parameter.POSITIONAL_OR_KEYWORD, default=option.default)
                    for key, option in everything.items()
                ),
            ]
        )
        # Without auto_shortflags=False, --hosts would take -h from --help.
        task: Any = _Task(
            run,
            everything,
            examples,
            name=name,
            auto_shortflags=False,
            positional=places,
            help={key: option.help_text for key, option in everything.items()},
        )
        TASKS.add_task(task)
        return task

    return wrap


def execute(
    name: str, body: Body, options: Mapping[str, Option], typed: Mapping[str, Any], context: Context
) -> int:
    """Run one command and show what came of it; the exit code. No traceback ever reaches the user."""
    # Otherwise Python searches all objects once more before it ends: 40 ms for nothing.
    atexit.register(gc.freeze)
    interruption = Interruption()
    with streams.steady(), interruption.caught():
        style = Style.of("table")
        try:
            style = Style.of(str(typed["format"]))
            complete(name, typed)
            report = body(_call(name, options, typed, context, style, interruption))
        except ProvisionError as error:
            report = Report(command=name, error=error, place=Place(program=(called.name_of(context),)))
        except KeyboardInterrupt as error:
            stopped = StoppedError("interrupted", cause="nothing was begun that is not finished or undone")
            report = Report(command=name, error=stopped, signal=number_of(error))
        except Exception as error:  # noqa: BLE001 - the user gets one line, the log the rest
            report = Report(command=name, error=crash.explain(error))
        try:
            return output(report, style)
        except KeyboardInterrupt as error:  # the work is over and recorded: only the reader has had enough
            return 128 + number_of(error)


def require_linux(hosts: Sequence[Host]) -> None:
    """Raises UsageError if this machine is one of the hosts, and is of a kind that builds nothing."""
    system = os.uname().sysname
    if system != "Linux" and any(host.local for host in hosts):
        raise UsageError(
            "this machine does not run Linux",
            cause=f"{system} has no binfmt_misc, and BuildKit's worker needs Linux",
            hint="Name other machines by --hosts.",
        )


def complete(name: str, typed: Mapping[str, Any]) -> None:
    """Raises UsageError for what a program that calls a task left out; Invoke checks what is typed itself."""
    for key, value in typed.items():
        if value is REQUIRED:
            raise UsageError(f"{name} needs a {key.upper()}", hint=f"Call it with {key}=… as well.")


def _call(
    name: str,
    options: Mapping[str, Option],
    typed: Mapping[str, Any],
    context: Context,
    style: Style,
    interruption: Interruption,
) -> Call:
    if context.config.run.dry:  # `fab --dry`, `./inv --dry`: it holds for Invoke's own run() alone
        raise UsageError(
            "--dry is Invoke's, and would not keep this command from anything",
            hint="plan shows what provision would change; plan --remove and plan --rollback what those would.",
        )
    fabric = None if typed["hosts"] else of_fabric(context)
    if fabric:
        typed = {**typed, **{key: value for key, value in fabric.options.items() if not typed[key]}}
    given = read(options, typed)
    config = load(given["config"], overrides(options, typed), warn=style.say)
    history = RunHistory.of(name, config.path)
    again = bool(given.get("only_failed"))
    asked = str(given["hosts"] or "")
    if fabric:
        asked = fabric.selection
    elif again and not asked:
        asked = history.last()
    # Behind a gateway that a Connection brought along, names are not for this machine to know.
    known = None if fabric and fabric.jump else partial(known_to_ssh, config=config.ssh.config)
    hosts = parse_selection(asked, config.inventory, known)
    if fabric:
        hosts = tuple(fabric.through(host) for host in hosts)
    if again:
        failed = history.failed(asked)
        hosts = tuple(host for host in hosts if host.name in failed)
    return Call(
        name=name,
        typed=typed,
        options=given,
        config=config,
        selection=asked,
        hosts=hosts,
        style=style,
        interruption=interruption,
        identities=fabric.identities if fabric else (),
        sudo_password=fabric.sudo_password if fabric else None,
        program=called.words_of(context, fabric),
    )
