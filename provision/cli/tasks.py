"""The command line: tasks of one Invoke collection, for `./inv` and for the installed `provision`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.collection import Collection

from provision import user_folders
from provision.cli import completion
from provision.cli.call import TASKS, Call, command, require_linux
from provision.cli.options import (
    ADOPT,
    AGAIN,
    BUILDER,
    BUNDLE,
    CERTIFICATES,
    CLIENT,
    DEEP,
    FLEET,
    FOLLOW,
    HEALTH,
    IMAGE,
    INTERVAL,
    LEAVE,
    LINES,
    NO_PROOF,
    OF_BUILDER,
    ONCE,
    OUT,
    PASSWORD,
    PASSWORD_STDIN,
    PLATFORM,
    PRINT,
    PURGE,
    PUSHED,
    QUICK,
    RECIPE,
    REGISTRY,
    REMOVE,
    REVOKE,
    ROLLBACK,
    SEVERITY,
    SHELL,
    SINCE,
    SPEC,
    TOOL,
    USERNAME,
    VARIABLES,
    WANTED,
    WAY_BACK,
    YES,
)
from provision.errors import UsageError
from provision.fix import Fix, ToolCommand
from provision.lazy import LazyModule
from provision.report import Report
from provision.report.output import TABLE

# The first host is connected to before these are imported.
if TYPE_CHECKING:
    from provision.certificates import store
    from provision.commands import (
        builder,
        builder_health,
        bundle,
        change,
        client_cert,
        export,
        inspect,
        leave,
        login,
        logs,
        survey,
        top,
        verify,
    )
    from provision.commands.bundle import Parts
    from provision.commands.logs import Wanted
else:
    store = LazyModule("provision.certificates.store")
    (
        builder,
        builder_health,
        bundle,
        change,
        client_cert,
        export,
        inspect,
        leave,
        login,
        logs,
        survey,
        top,
        verify,
    ) = (
        LazyModule(f"provision.commands.{name}")
        for name in (
            *("builder", "builder_health", "bundle", "change", "client_cert", "export"),
            *("inspect", "leave", "login", "logs"),
            *("survey", "top", "verify"),
        )
    )


@command({**SPEC, **AGAIN}, "check", "check --hosts pi1,ci@10.0.0.5:2222")
def check_(call: Call) -> Report:
    """Can this machine become a build machine? Kernel, handlers, service manager, room, rights: seen, needed, fix."""
    version = call.version()
    return call.run(
        lambda transport, host: inspect.check_host(transport, call.config.spec_for(host), version),
        root=False,
    )


@command(
    {**SPEC, "adopt": ADOPT, "rollback": ROLLBACK, "remove": LEAVE, "purge": PURGE, **AGAIN},
    "plan",
    "plan --platforms linux/amd64,linux/arm64 --hosts @runners",
)
def plan_(call: Call) -> Report:
    """What `provision` would do, as a diff. Exit 2 if anything would change, 0 if not."""
    purge = bool(call.options["purge"])
    if call.options["rollback"] and call.options["remove"]:
        raise UsageError("--rollback and --remove exclude each other", hint="Give one of them.")
    if call.options["rollback"]:
        return call.run(
            lambda transport, host: leave.preview_rollback(
                transport, call.config.spec_for(host), call.settings("")
            )
        )
    if call.options["remove"]:
        return call.run(
            lambda transport, host: leave.preview_remove(
                transport, call.config.spec_for(host), call.settings(""), purge=purge
            )
        )
    version, adopt = call.version(), bool(call.options["adopt"])
    return call.run(
        lambda transport, host: change.preview(
            transport, call.config.spec_for(host), call.settings(version), local=host.local, adopt=adopt
        )
    )


@command({**SPEC, **FLEET, "no_proof": NO_PROOF}, "provision", "provision --hosts @runners --canary 1")
def provision_(call: Call) -> Report:
    """Make it a build machine: QEMU handlers, BuildKit as a service, and proof that every platform runs."""
    version = call.version()
    return call.run(
        lambda transport, host: change.provision(
            transport, call.config.spec_for(host), call.settings(version), local=host.local
        )
    )


@command({**WAY_BACK, **FLEET, "no_proof": NO_PROOF}, "rollback", "rollback --hosts ci2")
def rollback_(call: Call) -> Report:
    """Back to the release and settings that ran before, with the same proof; `plan --rollback` shows it."""
    return call.run(
        lambda transport, host: leave.rollback(transport, call.config.spec_for(host), call.settings(""))
    )


@command({**WAY_BACK, "purge": PURGE, "yes": YES, **FLEET}, "remove", "remove --yes --hosts ci2")
def remove_(call: Call) -> Report:
    """Take away what this tool made, and bring back what was there before; `plan --remove` shows it."""
    purge = bool(call.options["purge"])
    if not call.options["yes"]:
        _ask(call, purge=purge)
    return call.run(
        lambda transport, host: leave.remove(
            transport, call.config.spec_for(host), call.settings(""), purge=purge
        )
    )


def _ask(call: Call, *, purge: bool) -> None:
    """Shows what would be removed and asks. Raises UsageError where nobody says yes."""
    if not sys.stdin.isatty():
        raise UsageError("remove asks before it begins, and nobody can be asked here", hint="Give --yes.")
    seen = call.run(
        lambda transport, host: leave.preview_remove(
            transport, call.config.spec_for(host), call.settings(""), purge=purge
        )
    )
    for host in seen.hosts:
        call.style.say(f"{host.host}: {host.error.message if host.error else f'{len(host.steps)} steps'}")
        for line in (*(f"{step.action} {step.target}" for step in host.steps), *host.notes):
            call.style.say(f"  {line}")
    call.style.say("Go on? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was removed", hint="Answer y to go on.")


@command(
    {"platforms": SPEC["platforms"], "deep": DEEP, **AGAIN}, "platforms", "platforms --deep --hosts pi1"
)
def platforms_(call: Call) -> Report:
    """The worker's platforms: how each runs (native or emulated, by what), registered, listed; --deep: builds."""
    ask = inspect.build_platforms if call.options["deep"] else inspect.list_platforms
    return call.run(lambda transport, host: ask(transport, call.config.spec_for(host)))


@command(
    {**HEALTH, "severity": SEVERITY, "deep": DEEP, "builder": OF_BUILDER},
    "health",
    "health --hosts @runners --format junit",
)
def health_(call: Call) -> Report:
    """Will the next build work, and after the next reboot too? Proven by execution, with the fix. Exit 5 if not."""
    threshold, deep = call.options["severity"], bool(call.options["deep"])
    if name := call.options["builder"]:
        _here(call)
        result = builder_health.health(builder.checked_name(name), threshold)
        return Report(command=call.name, hosts=(result,), threshold=threshold)
    report = call.run(
        lambda transport, host: inspect.health_of(
            transport, call.config.spec_for(host), threshold, deep=deep
        )
    )
    return replace(report, threshold=threshold)


@command({**HEALTH, "platform": PLATFORM}, "explain arm64", "explain linux/arm/v7 --hosts pi1")
def explain_(call: Call) -> Report:
    """Why a platform does or does not work: from its ELF header to a running build step. Exit 5 if it does not."""
    wanted = call.options["platform"]
    return call.run(lambda transport, host: inspect.explain(transport, call.config.spec_for(host), wanted))


@command({"interval": INTERVAL, "once": ONCE}, "top", "top --once --format json")
def top_(call: Call) -> Report:
    """The build load of this machine, live: buildkitd and every build step and emulated process, by platform."""
    if any(not host.local for host in call.hosts):
        fix = Fix.by(ToolCommand(task="top"), words="log in on that machine and run it there")
        raise UsageError("top shows this machine only", fix=fix)
    require_linux(call.hosts)
    return top.run(
        call.name,
        call.hosts[0].name,
        call.style,
        seconds=call.options["interval"],
        once=bool(call.options["once"]),
    )


@command(
    {"since": SINCE, "lines": LINES, "follow": FOLLOW, "bundle": BUNDLE, "service": SPEC["service"]},
    "logs --hosts pi1 --since 2h",
    "logs --bundle report.tar.gz",
)
def logs_(call: Call) -> Report:
    """What one wants after a failed build: the service's log, workers, last builds with their errors, memory kills."""
    wanted = logs.Wanted(
        lines=call.options["lines"], since=call.options["since"], bundle=bool(call.options["bundle"])
    )
    root = any(not host.local for host in call.hosts) or logs.may_become_root()
    if call.options["follow"]:
        return _follow(call, wanted, root=root)
    file, version = call.options["bundle"], ""
    parts: dict[str, Parts] = {}
    if file:
        bundle.check_place(file)
        version = call.version()
    report = call.run(
        lambda transport, host: logs.show(
            transport, call.config.spec_for(host), wanted, lambda part: parts.update({host.name: part})
        ),
        root=root,
    )
    if file:
        bundle.write(file, report, parts, call.config, version)
        call.style.say(
            f"all of it is in {file}, without what looks like a secret: read it before you give it away"
        )
    return report


def _follow(call: Call, wanted: Wanted, *, root: bool) -> Report:
    if call.style.format != TABLE or wanted.since or wanted.bundle:
        raise UsageError(
            "--follow shows lines as they come",
            hint="Leave out --format, --since and --bundle; --lines says how many older ones are shown.",
        )
    printer = logs.Printer(out=call.style.out, several=len(call.hosts) > 1)
    return call.run(
        lambda transport, host: logs.follow(transport, call.config.spec_for(host), wanted, printer),
        root=root,
        silent=True,
    )


@command(
    {
        "platforms": SPEC["platforms"],
        "name": BUILDER,
        "certificates": CERTIFICATES,
        "print": PRINT,
        "remove": REMOVE,
    },
    "builder --hosts @runners",
    "builder --hosts @runners --print",
)
def builder_(call: Call) -> Report:
    """Make these hosts one builder of docker buildx here: each platform on the host that builds it best."""
    name = builder.checked_name(call.options["name"] or "provision")
    if call.options["remove"]:
        if call.options["print"]:
            raise UsageError("--remove and --print exclude each other", hint="Give one of them.")
        return Report(command=call.name, hosts=(builder.remove(name),))
    seen = survey.Survey()
    looks = call.run(lambda transport, host: seen.look(transport, call.config.spec_for(host)))
    made = builder.build(call.aim(name), looks.hosts, seen.offers)
    return replace(looks, hosts=made.results, text=made.text)


@command(
    {"client": CLIENT, "out": OUT, "variables": VARIABLES, "revoke": REVOKE},
    "client-cert alice",
    "client-cert ci --variables",
)
def client_cert_(call: Call) -> Report:
    """A certificate for the TLS listeners, from your own authority; --revoke shuts its owner out."""
    _here(call)
    name = client_cert.checked_name(call.options["client"])
    tls = call.config.spec.buildkit.tls
    if tls is None or not tls.own:
        raise UsageError(
            "there is no authority of your own",
            cause='the configuration does not say [buildkit.tls] authority = "own"',
            hint="docs/builder.md says how it is set up.",
        )
    authority = store.authority(user_folders.config(), tls)
    if call.options["revoke"]:
        if call.options["out"] or call.options["variables"]:
            raise UsageError("--revoke makes no certificate", hint="Leave --out and --variables out.")
        return Report(command=call.name, hosts=(client_cert.revoke(name, authority),))
    folder = Path(call.options["out"] or name)
    result = client_cert.make(name, folder, authority, tls.days, variables=bool(call.options["variables"]))
    return Report(command=call.name, hosts=(result,))


@command(
    {"platforms": WANTED, "image": IMAGE, "quick": QUICK, "severity": SEVERITY},
    "verify registry.example/app:1.0 --platforms linux/amd64,linux/arm64",
    "verify alpine --quick",
)
def verify_(call: Call) -> Report:
    """Is what was pushed what you meant? Every platform's programs, digests and sizes, read from the registry."""
    _here(call)
    threshold = call.options["severity"]
    result = verify.verify(
        call.options["image"],
        call.config,
        call.style.progress,
        threshold,
        quick=bool(call.options["quick"]),
    )
    return Report(command=call.name, hosts=(result,), threshold=threshold)


@command(
    {"registry": REGISTRY, "username": USERNAME, "password_stdin": PASSWORD_STDIN, "password": PASSWORD},
    "login registry.example --username ci --password-stdin <password-file",
    "login docker.io",
)
def login_(call: Call) -> Report:
    """Log in to a registry, for buildctl and `verify`: tried first, then kept where Docker's own client keeps it."""
    if call.options["password"]:
        raise UsageError(
            "a password in an argument is refused",
            cause="every user of this machine can read the arguments of a program, and shells write them down",
            hint="Give it on standard input: --password-stdin. And change it, as it was readable already.",
        )
    given = login.tried(
        call.options["registry"],
        call.config,
        user=str(call.options["username"] or ""),
        from_stdin=bool(call.options["password_stdin"]),
    )
    if _is_here(call):
        return Report(command=call.name, hosts=(login.login(given),))
    return call.run(
        lambda transport, host: login.login_there(transport, host, given), root=False, as_login=True
    )


@command({"registry": REGISTRY}, "logout registry.example", "logout docker.io")
def logout_(call: Call) -> Report:
    """Log out of a registry: the login is removed from Docker's configuration, or from the helper that keeps it."""
    registry = call.options["registry"]
    if _is_here(call):
        return Report(command=call.name, hosts=(login.logout(registry),))
    return call.run(
        lambda transport, host: login.logout_there(transport, host, registry), root=False, as_login=True
    )


@command(
    {"recipe": RECIPE, "image": PUSHED, "tool": TOOL, **SPEC},
    "export github --platforms linux/amd64,linux/arm64 >.github/workflows/image.yml",
    "export woodpecker --image registry.example/app:1.0 >.woodpecker.yaml",
)
def export_(call: Call) -> Report:
    """The pipeline as a file for your CI, for a machine's first boot or for an image, from your configuration."""
    _here(call)
    return Report(command=call.name, text=export.text(call.options, call.config.spec, call.version()))


@command({"shell": SHELL}, "completion bash", "completion fish")
def completion_(call: Call) -> Report:
    """What makes a shell complete commands, flags, hosts and platforms; its start file reads it by eval."""
    return Report(command=call.name, text=completion.script(call.options["shell"]))


def _is_here(call: Call) -> bool:
    """Whether this machine alone is meant."""
    return all(host.local for host in call.hosts)


def _here(call: Call) -> None:
    """Raises UsageError for a command that works on this machine alone."""
    if not _is_here(call):
        raise UsageError(f"{call.name} works on this machine only", hint="Leave --hosts out.")


@command({}, "hosts", "hosts --hosts @runners,!pi3")
def hosts_(call: Call) -> Report:
    """What a selection of hosts means. Contacts nobody."""
    return Report(command=call.name, selection=call.hosts)


def namespace() -> Collection:
    """The product's tasks, to which others may be added."""
    return Collection(*TASKS.tasks.values())
