"""docs/services.md says of each manager what its data says."""

from __future__ import annotations

import pytest

from provision.services import MANAGERS
from provision.services.manager import ServiceManager
from tests.lab.checkout import ROOT

ROWS = {
    cells[1]: cells[2:5]
    for line in (ROOT / "docs/services.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|")
    for cells in [[cell.strip() for cell in line.split("|")]]
}


def test_a_column_for_each() -> None:
    assert ROWS[""] == [each.title.replace("no service manager", "process") for each in MANAGERS]


@pytest.mark.parametrize(
    ("column", "manager"), [*enumerate(MANAGERS)], ids=lambda each: getattr(each, "name", "")
)
def test_its_commands(column: int, manager: ServiceManager) -> None:
    commands = manager.commands
    for row, command in (
        ("start", commands.start),
        ("stop", commands.stop),
        ("restart", commands.restart),
        ("state", commands.status),
        ("log", commands.log),
    ):
        assert ROWS[row][column] == f"`{command.line}`"
