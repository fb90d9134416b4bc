"""Makes the pictures of docs/screens from a real run: `python -m tests.lab.screens`. Needs what the host rung needs,
and chromium with chromium-driver.

Three hosts are booted: a healthy one, one with faults, one that was never provisioned; a fourth does not answer.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.lab.browser import Browser
from tests.lab.capture import capture, svg
from tests.lab.checkout import ROOT
from tests.lab.cli import COMMAND, provision
from tests.lab.nspawn import BINFMT, Host, free_port
from tests.lab.release import publish

SCREENS: Final = ROOT / "docs/screens"
WANTED: Final = '["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64", "linux/s390x"]'
FAULTS: Final = f"""
echo 0 > {BINFMT}/qemu-aarch64
rm /etc/binfmt.d/qemu-s390x.conf && ln -s /dev/null /etc/binfmt.d/qemu-s390x.conf
cp /usr/bin/qemu-riscv64-static new && echo upgrade >> new && mv new /usr/bin/qemu-riscv64-static
chmod 666 /run/buildkit/buildkitd.sock
"""
TERMINALS: Final[Mapping[str, str]] = {
    "health": "health --hosts pi1",
    "health-fleet": "health --hosts @runners",
    "explain": "explain aarch64 --hosts pi1",
    "explain-sound": "explain armhf --hosts ci1",
    "health-deep": "health --deep --hosts ci1",
}


def main() -> None:
    """Boot, provision, spoil, and take the pictures."""
    SCREENS.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lab-screens-")))
        hosts = {name: stack.enter_context(Host(name)) for name in ("ci1", "pi1", "new1")}
        settle(folder, hosts)
        done = provision("provision", "--hosts", "ci1,pi1", cwd=folder)
        assert done.code == 0, done
        hosts["pi1"].run(FAULTS)
        for name, words in TERMINALS.items():
            (SCREENS / f"{name}.svg").write_text(terminal(words, folder), encoding="utf-8")
        photograph(folder)


def settle(folder: Path, hosts: Mapping[str, Host]) -> None:
    """The administrator's two files."""
    release = publish(folder / "mirror")
    dead = f"Host gone\n  HostName 127.0.0.1\n  Port {free_port()}\n"
    (folder / "ssh_config").write_text(dead + "".join(host.ssh_config for host in hosts.values()))
    (folder / "provision.toml").write_text(
        f"""
platforms = {WANTED}
[buildkit]
mirror = "{release.mirror}"
sha256 = {{ "{release.platform}" = "{release.sha256}" }}
[ssh]
config = "{folder / "ssh_config"}"
[groups]
runners = ["ci1", "pi1", "new1", "gone"]
"""
    )


def terminal(words: str, folder: Path) -> str:
    """A picture of one command and what it printed."""
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    shown = capture([COMMAND, *words.split()], cwd=folder, env=environment)
    assert "a defect of this tool" not in shown, shown
    # What was drawn and taken away again while hosts were asked is no part of the picture.
    settled = re.split(r"\x1b\[\?25h", shown)[-1]
    return svg(f"./inv {words}", re.sub(r"\x1b\[\d*[AJK]|\r", "", settled))


def photograph(folder: Path) -> None:
    """The page on a desk, one of its dialogs, and on a phone."""
    page = folder / "health.html"
    page.write_text(
        provision("health", "--hosts", "@runners", "--format", "html", cwd=folder).out, encoding="utf-8"
    )
    with Browser(width=1200, height=520) as browser:
        browser.open(page)
        browser.screenshot(SCREENS / "health-page.png")
        browser.click("a[aria-label^='linux/arm64 on pi1']")
        browser.screenshot(SCREENS / "health-page-cell.png")
        browser.resize(390, 844)
        browser.open(page)
        browser.screenshot(SCREENS / "health-page-phone.png")


if __name__ == "__main__":
    main()
