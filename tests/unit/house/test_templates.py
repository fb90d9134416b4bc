"""Every value in a template passes through the filter of the language it lands in.

The templates are walked as Jinja2 parses them, so a value cannot hide behind spaces, macros or includes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest
from jinja2 import nodes

from provision import paths
from provision.render import FILTERS, environment, prepare
from tests.lab.checkout import ROOT

LANGUAGE: Final = {
    ".print.sh": {"q", "comment"},
    ".sh": {"q", "heredoc"},
    ".openrc": {"q"},
    ".toml": {"toml", "toml_key", "comment"},
    ".service": {"unit", "exec", "comment"},
    ".tmpfiles.conf": {"tmpfiles", "comment"},
    ".ssh.conf": {"ssh", "ssh_token", "comment"},
    ".conf": {"unit", "exec", "comment"},
    ".yml": {"yaml", "block"},
    ".hcl": {"hcl"},
}
"""By the end of a template's name: the filters that make a value safe there. HTML is escaped as a whole."""

OURS: Final = {
    "builder.ssh.conf": {
        "mark": "a constant of builder/ssh_files.py",
        "section.end.port": "a number",
        "section.command": "the user's own, for the rest of the line, as `ssh -G` printed it",
        "words": "likewise, of KnownHostsCommand",
        "keyword": "a keyword of OpenSSH",
        "word": "words that OpenSSH knows, as `ssh -G` printed them (Section.own)",
        "section.patience": "a number of seconds",
        "keepalive": "a number of seconds",
    },
    "builder.print.sh": {"ssh_text": "behind a quoted here-document's word, without a line that ends it"},
    "builder.action.yml": {"number": "a number"},
    "apply.sh": {
        "lengths[step.id]": "a number of bytes",
        "lengths.get(step.id, 0)": "a number of bytes",
        "step.argc": "a number",
        "step.seconds": "a number of seconds",
        "step.qemu": "a name from the table of architectures",
        "step.probe": "octal escapes (elf.octal)",
        "step.trial_probe": "octal escapes (elf.octal)",
    },
    "probe.sh": {
        "nonce": "hexadecimal digits (question)",
        "patience": "a number of seconds",
        "probe.argc": "a number",
        "probe.name": "a name from the table of architectures",
        "probe.octal": "octal escapes (elf.octal)",
        "probe.marked": "octal escapes (elf.octal)",
    },
    "packages/ask.sh": {"arch.argc": "a number"},
    "deep.sh": {
        "nonce": "hexadecimal digits",
        "timeout": "a number of seconds",
        "program.name": "a name from the table of architectures",
        "program.probe": "octal escapes (elf.octal)",
        "program.work": "octal escapes (elf.octal)",
    },
    "buildkit-service.sh": {
        "start_line": "a constant of services/process.py",
        "limit": "a number of bytes",
        "interval": "a number of seconds",
        "start_seconds": "a number of seconds",
        "stop_seconds": "a number of seconds",
    },
    "host/record.sh": {"mark": "a constant of facts/view.py"},
    "host/lock.sh": {"lock_seconds": "a number of seconds"},
    "services/identity.sh": {"start_line": "a constant of services/process.py"},
    "buildkit.openrc": {"stop_seconds": "a number of seconds"},
    "registries.sh": {"loop.index": "a number"},
    "export/parts/bake.sh": {"line": "a command of a service manager"},
    "export/bake.sh": {"bake": "a script that is made like this one"},
    "boot.sh": {"nonce": "hexadecimal digits (become)", "size": "a number of bytes"},
}
"""What a script is given without a filter, and why it needs none: no user, host or file has a say in it."""

_FOLDER: Final = ROOT / "templates"
# What completes commands is a file as it stands (render.text_of): nothing is filled in.
NAMES: Final = sorted(
    str(path.relative_to(_FOLDER))
    for path in _FOLDER.rglob("*")
    if path.is_file() and path.parent.name != "completion"
)


def parsed(name: str) -> nodes.Template:
    return environment().parse((_FOLDER / name).read_text(encoding="utf-8"))


def values(name: str) -> Iterator[nodes.Expr]:
    """Every expression whose value a template puts out, but for what its macros put out: they are walked, too."""
    tree = parsed(name)
    macros = {macro.name for macro in tree.find_all(nodes.Macro)}
    for output in tree.find_all(nodes.Output):
        for node in output.nodes:
            calls_macro = isinstance(node, nodes.Call) and spelled(node.node) in macros
            if not isinstance(node, nodes.TemplateData) and not calls_macro:
                yield node


def spelled(node: nodes.Node) -> str:
    """An expression of names, attributes and calls, as it was written."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Const):
        return repr(node.value)
    if isinstance(node, nodes.Getattr):
        return f"{spelled(node.node)}.{node.attr}"
    if isinstance(node, nodes.Getitem):
        return f"{spelled(node.node)}[{spelled(node.arg)}]"
    if isinstance(node, nodes.Call):
        return f"{spelled(node.node)}({', '.join(map(spelled, node.args))})"
    return type(node).__name__


def is_safe(name: str, node: nodes.Node) -> bool:
    """Whether what an expression puts out is filtered, constant, or explained above."""
    if isinstance(node, nodes.Filter) and node.name == "join":
        # What is joined: a list whose items were filtered one by one.
        inner = node.node
        return (
            isinstance(inner, nodes.Filter)
            and inner.name == "map"
            and [spelled(each) for each in inner.args] in [[repr(one)] for one in LANGUAGE[ending(name)]]
        )
    if isinstance(node, nodes.Filter):
        return node.name in LANGUAGE[ending(name)]
    if isinstance(node, nodes.CondExpr):
        return is_safe(name, node.expr1) and (node.expr2 is None or is_safe(name, node.expr2))
    if isinstance(node, nodes.Const):
        return True
    return is_path(node) or spelled(node) in OURS.get(name, {})


def is_path(node: nodes.Node) -> bool:
    """Whether it is a constant of `paths`, which a test below holds to plain words."""
    return isinstance(node, nodes.Getattr) and spelled(node.node) == "paths" and node.attr.isupper()


def ending(name: str) -> str:
    return next(end for end in LANGUAGE if name.endswith(end))


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith(".html")])
def test_every_value_passes_through_a_filter_of_its_language(name: str) -> None:
    unsafe = [f"line {node.lineno}: {spelled(node)}" for node in values(name) if not is_safe(name, node)]
    assert unsafe == []


@pytest.mark.parametrize("name", ["buildkit.service", "buildkit.tmpfiles.conf", "buildkitd.toml"])
def test_the_daemons_files_filter_even_our_own_constants(name: str) -> None:
    assert all(isinstance(node, nodes.Filter) for node in values(name))
    assert list(values(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".html")])
def test_html_is_escaped_as_a_whole(name: str) -> None:
    escapes = environment().autoescape
    assert not isinstance(escapes, bool)
    assert escapes(name)
    filters = {node.name for node in parsed(name).find_all(nodes.Filter)}
    assert not filters & {"safe", *FILTERS}
    assert not list(parsed(name).find_all(nodes.ScopedEvalContextModifier))


def test_each_explained_value_is_there() -> None:
    """An explanation of what is gone would cover something else one day."""
    for name, explained in OURS.items():
        assert explained.keys() <= {spelled(node) for node in values(name)}, name


def test_our_paths_are_plain_words() -> None:
    constants = [value for name, value in vars(paths).items() if name.isupper() and isinstance(value, str)]
    assert len(constants) > 10
    assert [value for value in constants if not re.fullmatch(r"[A-Za-z0-9_./-]+", value)] == []


def test_every_filter_is_one_of_a_language() -> None:
    assert set(FILTERS) == {name for filters in LANGUAGE.values() for name in filters}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.sh", "echo {{ step.target }}"),
        ("x.sh", "echo {{ step.target | trim }}"),
        ("x.sh", "echo {{ step.target | q if step else step.target }}"),
        ("x.sh", "echo {{ files | join(' ') }}"),
        ("x.sh", "echo {{ 'a' ~ step.target }}"),
        ("x.toml", "a = {{ step.target | q }}"),
        ("x.service", "A={{ value | toml }}"),
        ("x.tmpfiles.conf", "d {{ value | unit }}"),
    ],
)
def test_this_test_can_fail(name: str, text: str) -> None:
    (output,) = environment().parse(text).find_all(nodes.Output)
    assert [is_safe(name, node) for node in output.nodes if not isinstance(node, nodes.TemplateData)] == [
        False
    ]


def test_what_is_prepared_for_a_host_is_read_to_the_last_part() -> None:
    """A part that is read only when the script is filled in costs its time between the login and the question."""
    environment.cache_clear()
    prepare("probe.sh")
    cache = environment().cache
    assert cache is not None
    names = {name for _, name in cache}
    parts = re.findall(r'{% include "([^"]+)"', (ROOT / "templates/probe.sh").read_text(encoding="utf-8"))
    nested = "packages/real.sh"  # a part of a part
    assert {"probe.sh", nested, *parts} <= names
