"""From a builder as it is to the builder that is wanted: the commands of buildx, as few as can be. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provision.builder.buildx import Instance
from provision.builder.node import DRIVER, Node
from provision.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Change:
    """One command of buildx."""

    id: str
    action: str
    target: str
    detail: str = ""
    command: tuple[str, ...]
    """Without the program's name."""


def changes(name: str, wanted: Sequence[Node], now: Instance | None) -> tuple[Change, ...]:
    """What makes the builder `name` have these nodes and no others.

    Raises UsageError where the name is that of a builder that this tool cannot have made.
    """
    if now is None:
        return _made(name, wanted)
    if now.driver != DRIVER:
        raise UsageError(
            f"there is a builder {name!r} already, and it is of another kind ({now.driver})",
            hint="Choose another --name, or remove that one with docker buildx rm.",
        )
    before = {node.name: node for node in now.nodes}
    kept = [node for node in wanted if node.name in before and not _anew(before[node.name], node)]
    if not kept:
        # buildx does not let the last node leave.
        return (removal(name), *(_made(name, wanted) if wanted else ()))
    names = {node.name for node in kept}
    return (
        # First: an endpoint that changes its node must not be there twice.
        *(_leave(name, node) for node in now.nodes if node.name not in names),
        *(
            _add(name, node, before.get(node.name) if node in kept else None)
            for node in wanted
            if node not in kept or before[node.name].settings != node.settings
        ),
    )


def removal(name: str) -> Change:
    """Takes the builder away; its nodes' daemons are not asked."""
    return Change(
        id="builder-remove", action="remove", target=f"builder {name}", command=("rm", "--keep-daemon", name)
    )


def _anew(old: Node, new: Node) -> bool:
    """Whether buildx cannot change one into the other: it never takes all options away (store/nodegroup.go)."""
    return bool(old.options) and not new.options


def _made(name: str, wanted: Sequence[Node]) -> tuple[Change, ...]:
    first, *others = wanted
    made = Change(
        id="builder-create",
        action="create",
        target=f"builder {name} with node {first.name}",
        detail=_detail(first),
        command=create(name, first, append=False),
    )
    return (made, *(_add(name, node, None) for node in others))


def _add(name: str, node: Node, old: Node | None) -> Change:
    return Change(
        id=f"node-{node.name}",
        action="update" if old else "add",
        target=f"node {node.name}",
        detail="\n".join((*([f"-{_detail(old)}"] if old else []), f"+{_detail(node)}")),
        command=create(name, node, append=True),
    )


def _leave(name: str, node: Node) -> Change:
    return Change(
        id=f"node-{node.name}-remove",
        action="remove",
        target=f"node {node.name}",
        command=("create", "--name", name, "--leave", "--node", node.name),
    )


def create(name: str, node: Node, *, append: bool) -> tuple[str, ...]:
    """The command that adds a node to a builder, or changes it there; without `append` it makes the builder."""
    options = (word for pair in node.options.items() for word in ("--driver-opt", _field("=".join(pair))))
    return (
        "create",
        "--name",
        name,
        *(("--append",) if append else ()),
        "--driver",
        DRIVER,
        "--node",
        node.name,
        "--platform",
        ",".join(node.platforms),
        *options,
        node.endpoint,
    )


def _field(text: str) -> str:
    """One field of CSV, as buildx reads the value of --driver-opt."""
    return '"{}"'.format(text.replace('"', '""')) if "," in text or '"' in text else text


def _detail(node: Node) -> str:
    return f"{node.endpoint} {', '.join(node.platforms)}"
