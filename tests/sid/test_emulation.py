"""Debian sid, as it is today: the next Debian and Ubuntu. Its archive moves, so CI does not wait for this rung."""

from __future__ import annotations

import pytest

from provision.spec import Spec
from tests.lab.bare import BareRoot
from tests.lab.emulated import NAMED, check_emulation


@pytest.mark.parametrize("platforms", [NAMED, None], ids=["named", "all"])
def test_qemu_user_is_taken(platforms: tuple[str, ...] | None) -> None:
    with BareRoot("sid") as root:
        check_emulation(root, Spec(platforms=platforms), "qemu-user")
