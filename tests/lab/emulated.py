"""The emulation part of the product on a bare root of a Debian: its package, its handlers, its second run."""

from __future__ import annotations

import secrets

from provision import apply
from provision.architectures import of_platform
from provision.commands.ask import ask_facts
from provision.errors import ReleaseError
from provision.facts import Facts, question
from provision.facts.view import view
from provision.health import emulation as health
from provision.plan import emulation
from provision.plan.requirements import EMULATION, require
from provision.plan.steps import InstallPackages, Plan, Step
from provision.plan.target import Target
from provision.result import StepResult
from provision.spec import Spec
from provision.transport.local import Local
from tests.lab.bare import BareRoot

NAMED = ("linux/arm64", "linux/arm/v7", "linux/s390x")


class Emulated(Local):
    """A root that is asked and changed by the product's own scripts. It needs no Python."""

    def __init__(self, root: BareRoot) -> None:
        super().__init__(name=root.suite, become=False, within=tuple(root.command()))

    def facts(self, spec: Spec) -> Facts:
        return ask_facts(self, spec)

    def planned(self, spec: Spec) -> emulation.Emulation:
        """What is to be done about emulation, after its requirements."""
        target = Target(spec=spec, facts=self.facts(spec), release=ReleaseError("none is needed here"))
        require(target, EMULATION)
        return emulation.plan_emulation(target, secrets.token_bytes(7), question.argc())

    def emulate(self, steps: tuple[Step, ...]) -> tuple[StepResult, ...]:
        made = Plan(steps=steps)
        journal = apply.Journal(steps=made.steps)
        answer = self.ask(apply.script(made), timeout=600, on_record=journal.record)
        assert answer.stderr == "", answer
        return journal.results()


def check_emulation(root: BareRoot, spec: Spec, package: str) -> None:
    """From nothing to handlers that work, by the package that this Debian has; the second run plans nothing."""
    host = Emulated(root)
    with host:
        first = host.planned(spec)
        (packages,) = (step for step in first.steps if isinstance(step, InstallPackages))
        assert package in (packages.packages[0], packages.instead), packages
        done = host.emulate(first.steps)
        assert {step.status for step in done if step.id.startswith(("packages", "binfmt"))} == {"done"}, done
        if spec.platforms:
            assert {step.status for step in done} == {"done"}, done
        facts = host.facts(spec)
        for platform in NAMED:
            seen = view(of_platform(platform), spec, facts)
            assert seen.ran, (platform, seen.outcome)
            assert seen.qemu, platform
        assert health.findings(spec, facts) == ()
        again = host.planned(spec)
        assert again.steps == (), again.steps
