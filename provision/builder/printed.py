"""A builder as text: shell lines, and the step of a GitHub workflow. What JSON has is in `result.NodeRow`."""

from __future__ import annotations

from collections.abc import Sequence

from provision.builder import ssh_files
from provision.builder.buildx import shell
from provision.builder.changes import create
from provision.builder.node import Node
from provision.render import render


def shell_lines(name: str, nodes: Sequence[Node], ssh_text: str, notes: Sequence[str]) -> str:
    """A script for a shell that makes the builder on another machine, with the SSH configuration that it needs."""
    first, *others = nodes
    commands = [create(name, first, append=False), *(create(name, node, append=True) for node in others)]
    return render(
        "builder.print.sh",
        name=name,
        ssh_text=ssh_text,
        notes=notes,
        include=ssh_files.INCLUDE,
        commands=[shell(each) for each in commands],
    )


def action(name: str, nodes: Sequence[Node]) -> str:
    """A step with docker/setup-buildx-action. Of a node's certificate it takes the text, from its environment."""
    first, *others = nodes
    secrets = [number for number, node in enumerate(nodes) if node.options]
    return render("builder.action.yml", name=name, first=first, others=others, secrets=secrets)
