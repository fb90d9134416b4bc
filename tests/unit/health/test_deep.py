"""`--deep`: what is asked, and what is made of the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from provision import paths
from provision.facts import Proof
from provision.facts.basis import Basis, Damage
from provision.fix import Fix, ToolCommand, provision_for
from provision.health import deep
from provision.health.platforms import rows
from provision.placed import current
from provision.spec import Spec
from tests.unit.recorded import SPEC, WANTED, settled

ANSWER: Final = """\
work\tx86_64\t4\t100000000
work\taarch64\t4\t450000000
work\tx86_64\t4\t310000000
work\taarch64\t4\t460000000
build\tlinux/amd64\t0\t300000000
work\tarm\t139\t1000
build\tlinux/arm64\t1\t300000000
|#5 [2/2] RUN ["/program", "x", "x"]
|#5 0.104 exec /program: exec format error
|#5 ERROR: process "/program x x x x"
|
|error: failed to solve: process "/program x x x x x 1f" did not complete successfully: exit code: 1
build\tlinux/arm/v7\t124\t120000000000
end
"""


def test_what_is_made_of_the_answer() -> None:
    answer = deep.parse(ANSWER.splitlines())
    found = {row.platform: row for row in deep.rows(answer, rows(SPEC, settled()), settled())}
    assert (found["linux/amd64"].builds, found["linux/amd64"].slower) == (True, None)
    assert (found["linux/arm64"].builds, found["linux/arm64"].slower) == (False, 4.5)
    # Its workload did not end as it should: that is no measurement.
    assert (found["linux/arm/v7"].builds, found["linux/arm/v7"].slower) == (False, None)
    # Not asked for, so not known.
    assert found["linux/386"].builds is None
    arm64, arm = deep.findings(SPEC, settled(), answer)
    assert arm64.evidence == (
        "a build of three lines for it failed: exec /program: exec format error; "
        'error: failed to solve: process "/program … 1f" did not complete successfully: exit code: 1'
    )
    # What the messages mean decides what to do; without a meaning, `explain` finds it out.
    assert arm64.consequence == (
        "builds for it fail: the step is for another architecture, and no handler is registered for it"
    )
    assert arm64.fix == Fix.by(provision_for("linux/arm64"))
    assert arm.fix == Fix.by(ToolCommand(task="explain", arguments=("linux/arm/v7",)))
    assert (arm.platform, arm.evidence) == (
        "linux/arm/v7",
        "a build of three lines for it failed: no end after 120 s",
    )


def test_busybox_ends_a_build_in_its_own_way() -> None:
    (found,) = deep.findings(SPEC, settled(), deep.parse(["build\tlinux/arm/v7\t143\t1"]))
    assert found.evidence.endswith(": no end after 120 s")


def test_a_program_that_only_its_bytes_show() -> None:
    measured = deep.parse(["damage\tbuildkit-runc"])
    (found,) = deep.findings(SPEC, settled(), measured)
    assert (found.id, found.severity) == ("release-damaged", "error")
    assert "buildkit-runc has other bytes" in found.evidence
    installed = current(settled())
    assert installed
    seen = {installed.folder: (Damage(program="buildkit-runc", lost=True),)}
    # Each look says so already.
    assert deep.findings(SPEC, replace(settled(), basis=Basis(damage=seen)), measured) == ()


def test_what_proves_and_what_does_not() -> None:
    """A proof is of the daemon as it was started then, and of the platforms that are wanted now."""
    host = settled()
    assert host.daemon
    assert not deep.is_proven(SPEC, host)
    proof = Proof(generation=host.daemon.generation, platforms=frozenset(WANTED))
    proven = replace(host, proof=proof)
    assert deep.is_proven(SPEC, proven)
    assert deep.is_proven(replace(SPEC, platforms=WANTED[:1]), proven)
    assert not deep.is_proven(replace(SPEC, platforms=(*WANTED, "linux/s390x")), proven)
    assert not deep.is_proven(SPEC, replace(proven, proof=replace(proof, generation="0")))
    assert not deep.is_proven(SPEC, replace(proven, daemon=None, proof=Proof(platforms=frozenset(WANTED))))


def test_a_proof_measures_nothing_and_leaves_word() -> None:
    text = deep.script(SPEC, settled(), prove=True)
    assert [line for line in text.splitlines() if line.startswith("build linux/")]
    assert "work_of x86_64" not in text
    assert paths.PROOF in text
    # To look is to change nothing.
    assert paths.PROOF not in deep.script(SPEC, settled())


def test_an_answer_that_was_cut_short() -> None:
    answer = deep.parse(["work\tx86_64\t4\t1", "build\tlinux/amd64"])
    assert deep.findings(SPEC, settled(), answer) == ()
    assert deep.parse([]).builds == {}


def test_what_is_asked() -> None:
    text = deep.script(SPEC, settled())
    asked = [line for line in text.splitlines() if line.startswith("build linux/")]
    assert asked == ["build linux/amd64 x86_64", "build linux/arm64 aarch64", "build linux/arm/v7 arm"]
    # Without a wish: all that runs here, of the CPU's own and by handlers.
    everything = deep.script(Spec(), settled())
    asked = [line.split()[1] for line in everything.splitlines() if line.startswith("build linux/")]
    assert asked == ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "linux/386"]
    # Native is always measured: there is nothing to compare with otherwise.
    assert "work_of x86_64" in deep.script(Spec(platforms=("linux/arm64",)), settled())
