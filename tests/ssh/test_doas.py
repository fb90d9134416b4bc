"""Becoming root by doas, as on Alpine: the real program, with its configuration in the lab's mount namespace."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from provision.errors import BecomeError
from provision.transport import Secret
from provision.transport.ssh import SSH
from tests.lab.requirements import require
from tests.lab.sshd import PASSWORD, Sshd
from tests.ssh.conftest import Serve


class Doas(Sshd):
    """`doas` and no `sudo` on PATH."""

    rules = "permit nopass ci as root\npermit pw as root\n"

    def _enter(self) -> str:
        """An /etc of the server's own, which can have a file that the machine's has not: links to all that that has."""
        real = self.folder / "etc"
        real.mkdir()
        pam = Path(str(shutil.which("doas"))).resolve().parents[2] / "etc" / "pam.d" / "doas"
        lines = (
            f"mount --bind /etc {real}",
            "mount -t tmpfs tmpfs /etc",
            f"ln -s {real}/* /etc/",
            f"rm /etc/pam.d && cp -r {real}/pam.d /etc/pam.d",
            f"[ -f /etc/pam.d/doas ] || [ ! -f {pam} ] || cp {pam} /etc/pam.d/doas",
            f"rm -f /etc/doas.conf && printf '{self.rules}' >/etc/doas.conf",
        )
        return super()._enter().replace("set -e\n", "\n".join(("set -e", *lines, "")), 1)


@pytest.fixture
def box(serve: Serve, tmp_path: Path) -> Sshd:
    require("doas")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "id", "dd", "cat", "doas"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return serve(users=True, kind=Doas, SetEnv=f"PATH={folder}")


@pytest.mark.parametrize(("user", "password"), [("ci", None), ("ci", Secret(PASSWORD)), ("root", None)])
def test_scripts_run_as_root(box: Sshd, user: str, password: Secret | None) -> None:
    with SSH(box.target(user), box.settings, password) as host:
        assert host.ask("id -u", timeout=10).records == ("0",)


@pytest.mark.parametrize(
    ("user", "told"), [("pw", "doas asks for a password"), ("guest", "may not become root")]
)
def test_a_refusal_is_explained(box: Sshd, user: str, told: str) -> None:
    with SSH(box.target(user), box.settings, Secret(PASSWORD)) as host, pytest.raises(BecomeError) as caught:
        host.ask("id -u", timeout=10)
    assert told in caught.value.message
    assert f"permit nopass {user} as root" in caught.value.hint
