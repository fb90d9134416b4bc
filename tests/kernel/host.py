"""A private table as a host: the product's own session, question and plan, with the real kernel at the other end."""

from __future__ import annotations

import secrets
from typing import Final

from provision import apply
from provision.commands.ask import ask_facts
from provision.errors import ProvisionError, ReleaseError
from provision.facts import Facts, question
from provision.plan import emulation
from provision.plan.requirements import EMULATION, require
from provision.plan.steps import Plan
from provision.plan.target import Target
from provision.result import StepResult
from provision.spec import Spec
from provision.transport.become import opening
from provision.transport.local import Local, _Process
from provision.transport.session import Session
from tests.kernel.namespace import Namespace

# What the tool writes beside the table. Other parts of these folders are needed as they are.
OWN: Final = (
    "mount -t tmpfs tmpfs /etc/binfmt.d",
    "mount -t tmpfs tmpfs /mnt",
    "mkdir /mnt/up /mnt/work",
    "mount -t overlay -o lowerdir=/var/lib,upperdir=/mnt/up,workdir=/mnt/work overlay /var/lib",
    "umount -l /mnt",
    "mount -t tmpfs tmpfs /run",
)


class TableHost(Local):
    """Runs scripts as the root of a namespace."""

    def __init__(self, namespace: Namespace) -> None:
        super().__init__(become=False, name="namespace")
        self._namespace = namespace
        for command in OWN:
            done = namespace.run("sh", "-c", command)
            assert done.returncode == 0, done

    def _start(self) -> Session:
        begin = opening("never", None)
        command = tuple(self._namespace.command(*begin.command))

        def refusal(said: str, _status: int | None) -> ProvisionError:
            raise AssertionError(said)

        return Session(self.name, _Process(command, own_session=True), begin, refusal)

    def facts(self, spec: Spec) -> Facts:
        return ask_facts(self, spec)

    def planned(self, spec: Spec, facts: Facts) -> emulation.Emulation:
        """Of a plan what concerns emulation, after its requirements."""
        target = Target(spec=spec, facts=facts, release=ReleaseError("none is needed here"))
        require(target, EMULATION)
        return emulation.plan_emulation(target, secrets.token_bytes(7), question.argc())

    def emulate(self, spec: Spec) -> tuple[StepResult, ...]:
        """Ask, plan and apply what concerns emulation; what became of each step."""
        made = Plan(steps=self.planned(spec, self.facts(spec)).steps)
        journal = apply.Journal(steps=made.steps)
        answer = self.ask(apply.script(made), timeout=60, on_record=journal.record)
        assert answer.stderr == "", answer
        return journal.results()
