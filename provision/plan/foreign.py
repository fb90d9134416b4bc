"""Files of somebody else in the place of ours: what the plan says of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from provision import binfmt, paths
from provision.buildkit.foreign import adopted, lost, state_of
from provision.facts import Facts, File
from provision.facts.host_record import kept
from provision.plan.record import is_ours
from provision.plan.steps import MakeLink, Step, WriteFile, WriteRule


def foreign_notes(steps: tuple[Step, ...], facts: Facts) -> Iterator[str]:
    """A sentence for each file of somebody else that a step replaces, with what would no longer hold."""
    for step in steps:
        if isinstance(step, WriteFile | WriteRule | MakeLink):
            old = facts.files.get(step.path)
            if old is not None and _foreign(old, facts):
                yield f"{step.path} is not this tool's: it is kept as {kept(step.path)}"
                yield from _lost(step, old)


def _foreign(file: File, facts: Facts) -> bool:
    if file.target is None:
        return not is_ours(file, facts.record)
    ours = facts.record is not None and facts.record.find("link", file.path) is not None
    return not ours and not file.target.startswith(paths.RELEASES)


def _lost(step: Step, old: File) -> Iterator[str]:
    if isinstance(step, WriteFile) and step.path == paths.CONFIG:
        if settings := lost(old.text or "", step.content):
            yield f"what it sets and provision.toml does not: {'; '.join(settings)} (`plan --adopt` has the lines)"
        if (elsewhere := state_of(old.text or "")) not in ("", paths.STATE):
            yield (
                f"its state with the cache stays in {elsewhere}, where no daemon of this tool looks: to go on with it,"
                f" mount that folder at {paths.STATE} first (mount --bind, and a line in /etc/fstab)"
            )
    elif isinstance(step, WriteRule):
        others = [
            each.name for each in binfmt.parse_rules(old.text or "") if each.name != f"qemu-{step.qemu}"
        ]
        if others:
            yield f"{step.path} has rules for {', '.join(others)} too, which no boot will register any more"


def adopted_lines(facts: Facts) -> tuple[str, ...]:
    """The lines of provision.toml that keep the settings of somebody else's buildkitd.toml; empty if there is none."""
    for path in (paths.CONFIG, kept(paths.CONFIG)):
        file = facts.files.get(path)
        if file is not None and file.text is not None and not is_ours(file, facts.record):
            return adopted(file.text)
    return ()
