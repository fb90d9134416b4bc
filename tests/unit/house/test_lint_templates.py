"""shellcheck on the scripts that reach a host, as they are once they are rendered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final, get_args

import pytest

from provision import apply
from provision.builder import printed
from provision.builder.node import Node
from provision.facts import question
from provision.health import deep
from provision.logs import question as logs
from provision.logs.since import Since
from provision.plan.steps import (
    AddMember,
    EnableBinfmt,
    InstallRunc,
    MountBinfmt,
    Plan,
    RecordLines,
    RemoveFile,
    RemoveFolders,
    RemoveGroup,
    RemoveHandler,
    RemovePackages,
    RemoveRecord,
    RemoveTree,
    RunService,
    SaveGeneration,
    SendInterpreter,
    StartDaemon,
    Step,
    TidyUp,
    WaitForBuilds,
)
from provision.render import render
from provision.services import MANAGERS, openrc, process
from provision.services.manager import Seen, Settings
from provision.spec import Buildkit, Registry, ServiceSetting, Source, Spec
from provision.transport import Secret
from provision.transport.become import opening
from tests.lab.checkout import ROOT
from tests.unit.house.test_lint import BIN, accept
from tests.unit.recorded import facts, planned

SETTINGS: Final = Settings(buildkit=Buildkit(listen=("tcp://127.0.0.1:1234",)), version="v0.32.2")
NODE: Final = Node(name="pi1", endpoint="ssh://pi1", platforms=("linux/arm64", "linux/arm/v7"))
# What a plan for the recorded bare machine lacks.
MORE: Final = (
    MountBinfmt(id="mount", action="mount", target="binfmt_misc", manager="systemd"),
    *(
        RunService(
            id=f"tell-{each.name}", action="stop", target="it", manager=each.name, verb="stop", service="it"
        )
        for each in MANAGERS
    ),
    EnableBinfmt(id="binfmt-status", action="enable", target="binfmt_misc"),
    WaitForBuilds(id="drain", action="wait for", target="builds", seconds=9, only_after=("a", "b")),
    SaveGeneration(
        id="save",
        action="save",
        target="it",
        generation="g",
        version="v",
        folder="/opt/x",
        files=("/etc/a b",),
    ),
    StartDaemon(
        id="start",
        action="restart",
        target="it",
        manager="systemd",
        service="it",
        generation="g2",
        back="g",
        copy_for="v2",
        platforms=("linux/arm64",),
    ),
    RemoveTree(id="tree", action="remove", target="it", path="/opt/x"),
    RemoveFile(id="file", action="remove", target="it", path="/etc/x y", file_kind="file"),
    RemoveHandler(id="drop", action="remove", target="it", name="qemu-x", was=":a:b"),
    RemoveFolders(id="folders", action="remove", target="it", folders=("/a b", "/a")),
    RemovePackages(id="packages", action="remove", target="it", manager="apt-get", packages=("a", "b")),
    RemoveGroup(id="no-group", action="remove", target="it", group="buildkit"),
    RemoveRecord(id="no-record", action="remove", target="it"),
    TidyUp(id="tidy", action="remove", target="it", paths=("/tmp/a b",), handlers=("qemu-x.trial",)),
    RecordLines(id="record", action="create", target="it", lines=("file\t/etc/x\t0",)),
    InstallRunc(id="runc", action="install", target="runc", manager="apt-get", oldest=(1, 1)),
    AddMember(id="member", action="add", target="a user", group="buildkit", user="a user"),
    SendInterpreter(
        id="send",
        action="send",
        target="qemu",
        file=Path("qemu"),
        path="/opt/q'emu",
        sha256="0" * 64,
        size=1,
    ),
)


def whole_plan() -> Plan:
    """A plan with a step of every kind."""
    return Plan(steps=(*planned(facts("bare")).steps, *MORE))


def scripts() -> Iterator[tuple[str, str]]:
    """Each template's name, and a text it renders to."""
    for source in get_args(Source):
        yield "probe.sh", question.question(Spec(buildkit=Buildkit(source=source))).script
    asked = Buildkit(
        registries={"a.example:5": Registry(ca=("/a b.pem",)), "docker.io": Registry(http=True)}
    )
    yield "registries.sh", question.question(Spec(buildkit=asked), registries=True).script
    yield "apply.sh", apply.script(whole_plan())
    yield "workplace.sh", render("workplace.sh")
    yield "buildkit-service.sh", process.script(SETTINGS).text
    for each in openrc.files(SETTINGS)[1:] + openrc.read(Seen()).boot.files:
        yield each.path, each.text
    managers: tuple[ServiceSetting, ...] = ("systemd", "process")
    for manager, following in product(managers, (True, False)):
        yield (
            "logs.sh",
            logs.script(
                Spec(buildkit=Buildkit(service=manager)),
                facts("provisioned"),
                count=100,
                since=Since(ago=60),
                following=following,
                settings=not following,
            ),
        )
    for nodes in ([NODE], [NODE, replace(NODE, name="pi2", options={"key": "/a key"})]):
        for text in ("", "Host x\n"):
            yield "builder.print.sh", printed.shell_lines("fleet", nodes, text, ["pi3 is left out"])
    for verb in ("read", "write", "store"):
        yield "login.sh", render("login.sh", verb=verb, digest="ab" * 32, program="docker-credential-x")
    yield "deep.sh", deep.script(Spec(), facts("provisioned"))
    for sudo in ("auto", "always", "never"):
        for password in (None, Secret("secret")):
            made = opening(sudo, password)
            yield "become.sh", made.command[2]
            yield "boot.sh", made.command[3]
    # The first line of what is sent is the nonce that boot.sh waits for.
    yield "session.sh", opening("never", None).greeting.decode().split("\n", 1)[1]


def kinds(base: type[Step]) -> set[str]:
    below = [kinds(each) for each in base.__subclasses__()]
    return set().union(*below) if below else {base.kind}


def test_every_template_is_checked() -> None:
    """Those in folders are parts of others."""
    checked = {name for name, _ in scripts() if not name.startswith("/")}
    assert checked == {path.name for path in (ROOT / "templates").glob("*.sh")}
    assert len(checked) + len([*(ROOT / "templates").glob("*.openrc")]) == len(
        {name for name, _ in scripts()}
    )
    parts = {path.name for path in (ROOT / "templates/services").iterdir()}
    assert parts == {f"{each.name}.sh" for each in MANAGERS} | {"identity.sh", "environment.sh"}


def test_every_kind_of_step_is_checked() -> None:
    assert {step.kind for step in whole_plan().steps} == kinds(Step)


@pytest.mark.parametrize(("name", "text"), [pytest.param(name, text, id=name) for name, text in scripts()])
def test_shellcheck(name: str, text: str) -> None:
    accept(BIN / "shellcheck", "--shell=sh", "-", given=text, name=name)
