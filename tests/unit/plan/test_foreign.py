"""What the plan says of files of somebody else in the place of ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision import paths
from provision.facts import File
from provision.plan.foreign import foreign_notes
from provision.plan.steps import WriteFile
from tests.unit.recorded import settled

STEP = WriteFile(id="x", action="update", target=paths.CONFIG, path=paths.CONFIG, content='root = "/ours"\n')


@pytest.mark.parametrize(
    ("theirs", "elsewhere"),
    [
        ('root = "/data/buildkit"\n', "/data/buildkit"),
        ('root = "/var/lib/buildkit/"\n', ""),
        ("debug = true\n", ""),
        ("root = 7\n", ""),
    ],
)
def test_a_state_in_another_folder_is_not_lost_without_a_word(theirs: str, elsewhere: str) -> None:
    file = File(path=paths.CONFIG, text=theirs)
    facts = replace(settled(), files={paths.CONFIG: file}, record=None)
    notes = tuple(foreign_notes((STEP,), facts))
    assert f"it is kept as {paths.CONFIG}.before-provision" in notes[0]
    said = [each for each in notes if "mount that folder at /var/lib/buildkit" in each]
    assert bool(said) == bool(elsewhere)
    assert all(f"stays in {elsewhere}," in each for each in said)
