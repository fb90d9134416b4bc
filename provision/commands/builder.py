"""`builder`: hosts become one builder of buildx on this machine. They are asked, not changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from provision.builder import buildx, fetch, printed, ssh_files, tls
from provision.builder.assignment import Offer, Shares, assign, loss
from provision.builder.buildx import Buildx, Instance
from provision.builder.changes import Change, changes
from provision.builder.node import Node, is_name, node_names
from provision.builder.reach import reach
from provision.builder.tls import Client
from provision.builder.way import LOCAL, Way, way
from provision.errors import HostError, ProvisionError, UnreachableError, UsageError
from provision.report.progress import Progress
from provision.result import HostResult, HostStatus, StepResult
from provision.result.nodes import NodeRow
from provision.spec import Buildx as BuildxSettings
from provision.transport import SshSettings, Target
from provision.transport.ssh.config import resolve


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What the command line asks for."""

    name: str
    targets: Mapping[str, Target | None]
    """How this tool reaches each host, by name; None is this machine."""
    listeners: Mapping[str, Listener]
    """The hosts that are reached over TLS, by name."""
    client: Client
    """This machine's certificate for them."""
    ssh: SshSettings
    buildx: BuildxSettings
    cache: Path
    progress: Progress
    printing: bool = False


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where a host listens for other machines. Without a name it is the address that SSH goes to."""

    name: str | None
    port: int


def checked_name(name: str) -> str:
    """The builder's name as buildx keeps it. Raises UsageError for what buildx would refuse."""
    if not is_name(name) or name.lower() == "default":
        raise UsageError(
            f"{name!r} is no name for a builder",
            hint="Begin with a letter; letters, digits and . _ - may follow. `default` is Docker's own.",
        )
    return name.lower()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The builder as the first result, then the hosts that were left out."""

    results: tuple[HostResult, ...]
    text: str = ""
    """What --print shows."""


def build(aim: Aim, looks: Sequence[HostResult], offers: Mapping[str, Offer]) -> Outcome:
    """Make the builder, or change it, from a look at each host (`Survey.look`) and what the healthy ones offer.

    Raises UsageError, BuildxError, and what `fetch.buildx` raises.
    """
    if not aim.printing:
        buildx.refuse_default_settings()
    now, names = buildx.instance(aim.name), node_names(aim.targets)
    healthy = [look.host for look in looks if look.status == "ok"]
    ways = {host: _way(aim, names[host], host) for host in healthy}
    # What is printed is for another machine: this one may have no certificate, and gets none by that.
    untried = [
        host for host, its_way in ways.items() if aim.printing and its_way.options and not aim.client.there
    ]
    refused = _refused(aim, {host: its_way for host, its_way in ways.items() if host not in untried})
    left_out = [
        _failed(look, refused[look.host]) if look.host in refused else look
        for look in looks
        if look.host in refused or look.host not in healthy
    ]
    held = {platform: host for host, name in names.items() for platform in _now(now, name)}
    shares = assign([offers[host] for host in healthy if host not in refused], held)
    nodes = [_node(host, names[host], ways[host], shares) for host in shares if shares[host]]
    notes = (
        *(f"{host} was not tried: this machine has no certificate for it (client-cert)" for host in untried),
        *(_cost(look, offers.get(look.host), _now(now, names[look.host]), shares) for look in left_out),
        *(
            f"{host} builds nothing for others: every platform of it went to another host"
            for host in shares
            if not shares[host]
        ),
    )
    if not nodes:
        return Outcome(results=(_nobody(aim.name, notes, left_out), *left_out))
    sections = [section for node in nodes for section in ways[node.host].sections]
    ssh_text = ssh_files.text(aim.name, sections, aim.ssh.keepalive) if sections else ""
    made = HostResult(host=aim.name, status="ok", nodes=tuple(map(_row, nodes)), notes=notes)
    if aim.printing:
        action = printed.action(aim.name, nodes)
        # The whole is a script for sh: what is for a workflow stands in it as a text that sh skips.
        text = f"{printed.shell_lines(aim.name, nodes, ssh_text, notes)}\n: <<'END'\n{action}END\n"
        return Outcome(results=(made, *left_out), text=text)
    return Outcome(results=(_carried_out(aim, made, nodes, now, ssh_text), *left_out))


def remove(name: str) -> HostResult:
    """Take the builder away from buildx, and what its nodes needed from the SSH configuration.

    Raises UsageError for a builder of another kind, BuildxError.
    """
    now, steps = buildx.instance(name), []
    if now is not None:
        (first, *_) = changes(name, (), now)
        steps.append(_run(_present(), first))
    steps += _files(ssh_files.remove(name, ssh_files.folder()), "remove from")
    if not steps:
        return HostResult(host=name, status="ok", notes=(f"there is no builder {name}",))
    return HostResult(host=name, status="changed", steps=tuple(steps))


def _present() -> Buildx:
    program = buildx.find()
    if program is None:
        raise buildx.BuildxError(
            "buildx is no longer on this machine, and only buildx changes its builders",
            hint="Install it again.",
        )
    return program


def _way(aim: Aim, node: str, host: str) -> Way:
    target, listener = aim.targets[host], aim.listeners.get(host)
    if target is None:
        return Way(endpoint=LOCAL)
    if listener:
        return tls.way(listener.name or resolve(target, aim.ssh).host, listener.port, aim.client)
    return way(aim.name, node, target, aim.ssh, resolve)


def _refused(aim: Aim, ways: Mapping[str, Way]) -> Mapping[str, ProvisionError]:
    """The hosts that buildx would not reach, though this tool does, each with its error."""

    def attempt(host: str) -> ProvisionError | None:
        sections = ways[host].sections
        text = ssh_files.text(aim.name, sections, aim.ssh.keepalive) if sections else ""
        try:
            if ways[host].options:
                tls.shake_hands(host, ways[host].endpoint, ways[host].options)
            else:
                reach(host, ways[host].endpoint, text)
        except ProvisionError as error:
            return error
        return None

    with ThreadPoolExecutor(max_workers=max(len(ways), 1)) as pool:
        tried = zip(ways, pool.map(attempt, ways), strict=True)
        return {host: error for host, error in tried if error}


def _failed(look: HostResult, error: ProvisionError) -> HostResult:
    return replace(look, status=error.host_status, error=error)


def _now(now: Instance | None, node: str) -> tuple[str, ...]:
    """The platforms that a node of the builder has now."""
    return next((each.platforms for each in (now.nodes if now else ()) if each.name == node), ())


def _node(host: str, name: str, its_way: Way, shares: Shares) -> Node:
    own = shares[host]
    return Node(
        name=name,
        endpoint=its_way.endpoint,
        platforms=tuple(each.platform for each in own),
        options=its_way.options,
        host=host,
        shares=own,
    )


def _cost(look: HostResult, offer: Offer | None, held: Sequence[str], shares: Shares) -> str:
    """The line on a host that was left out."""
    native = [name for name, each in offer.abilities.items() if each.native] if offer else held
    cost = loss(native, shares)
    if not cost:
        cost = "what it builds, others build as well" if native else "what only it builds is missing"
    why = look.error.message if look.error else look.findings[0].id if look.findings else look.status
    return f"{look.host} is left out ({why.removeprefix(f'{look.host}: ')}): {cost}"


def _nobody(name: str, notes: tuple[str, ...], left_out: Sequence[HostResult]) -> HostResult:
    # Where no host answered, that is what the exit code says.
    silent = bool(left_out) and all(look.status == UnreachableError.host_status for look in left_out)
    error = (UnreachableError if silent else HostError)(
        f"no host can be a node of {name}",
        cause="none of them answered"
        if silent
        else "each of them failed, is not healthy, or builds nothing",
        hint="The hosts' own errors and findings say why. The builder is as it was.",
    )
    return HostResult(host=name, status=error.host_status, notes=notes, error=error)


def _row(node: Node) -> NodeRow:
    return NodeRow(
        node=node.name,
        host=node.host,
        endpoint=node.endpoint,
        platforms=node.platforms,
        native=tuple(each.platform for each in node.shares if each.native),
        slower={each.platform: each.slower for each in node.shares if each.slower and not each.native},
        options=dict(node.options),
    )


def _carried_out(
    aim: Aim, made: HostResult, nodes: Sequence[Node], now: Instance | None, ssh_text: str
) -> HostResult:
    """The SSH configuration first: buildx connects to every node that it is given."""
    wanted = changes(aim.name, nodes, now)
    program = fetch.present(aim.buildx, aim.cache, aim.progress)
    place = ssh_files.folder()
    steps = [*program.steps]
    steps += _files(ssh_files.write(aim.name, ssh_text, place), "write") if ssh_text else ()
    for change in wanted:
        aim.progress.step(aim.name, change.id, "begin", f"{change.action} {change.target}")
        steps.append(_run(program.buildx, change))
    if not ssh_text:
        steps += _files(ssh_files.remove(aim.name, place), "remove from")
    words = " ".join(buildx.words(program.buildx.program))
    platforms = ",".join(platform for node in nodes for platform in node.platforms)
    note = f"build with it: {words} build --builder {aim.name} --platform {platforms} …"
    status: HostStatus = "changed" if steps else "ok"
    return replace(made, status=status, steps=tuple(steps), notes=(*made.notes, note))


def _run(program: Buildx, change: Change) -> StepResult:
    program.run(*change.command)
    return StepResult(
        id=change.id, action=change.action, target=change.target, status="done", detail=change.detail
    )


def _files(paths: Sequence[str], action: str) -> Iterator[StepResult]:
    for path in paths:
        yield StepResult(id=f"ssh-{Path(path).name}", action=action, target=path, status="done")
