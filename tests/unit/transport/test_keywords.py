"""The table of what each keyword of ssh_config means here, against the installed `ssh` and its manual."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from provision.transport.ssh.keywords import FOLLOWED, IRRELEVANT, REFUSED, known, refused, table

DOCS = Path(__file__).resolve().parents[3] / "docs" / "openssh.md"
SET = {
    "BindAddress": "127.0.0.1",
    "BindInterface": "lo",
    "CertificateFile": "/c",
    "ControlPath": "/p",
    "DynamicForward": "1080",
    "HostKeyAlias": "x",
    "IdentityAgent": "/a",
    "KnownHostsCommand": "/bin/true",
    "LocalCommand": "true",
    "LocalForward": "1 a:2",
    "PKCS11Provider": "/l",
    "PreferredAuthentications": "publickey",
    "ProxyCommand": "none",
    "RemoteCommand": "x",
    "RemoteForward": "1 a:2",
    "RevokedHostKeys": "/r",
    "SetEnv": "A=b",
}
"""Keywords that `ssh -G` prints only where they are set."""


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("options", [(), tuple(f"-o{key}={value}" for key, value in SET.items())])
def test_every_keyword_that_ssh_prints_has_its_row(options: tuple[str, ...]) -> None:
    done = subprocess.run(["ssh", "-G", *options, "x"], check=True, capture_output=True, text=True)
    printed = {line.split()[0] for line in done.stdout.splitlines()}
    assert len(printed) > 60
    assert [keyword for keyword in sorted(printed) if not known(keyword)] == []
    assert not options or {key.lower() for key in SET} - {"proxycommand"} <= printed


@pytest.mark.needs("ssh")
def test_every_row_is_a_keyword_of_some_ssh() -> None:
    """This one's, or another version's: what it does not know it calls so, at least."""
    strange = []
    for keyword in (*FOLLOWED, *IRRELEVANT, *REFUSED):
        done = subprocess.run(
            ["ssh", "-G", f"-o{keyword}=", "x"], check=False, capture_output=True, text=True
        )
        if "Bad configuration option" in done.stderr:
            strange.append(keyword)
    # Newer than OpenSSH 9.2, or of distributions with the patch for GSSAPI.
    assert {each.lower() for each in strange} <= {
        *(
            "channeltimeout",
            "obscurekeystroketiming",
            "refuseconnection",
            "tag",
            "versionaddendum",
            "warnweakcrypto",
        ),
        *("enableescapecommandline", "requiredrsasize"),
        *(each.lower() for each in IRRELEVANT if each.startswith("GSSAPI")),
    }


@pytest.mark.skipif(not shutil.which("man"), reason="there is no manual here")
def test_every_keyword_of_the_manual_has_its_row() -> None:
    page = subprocess.run(
        ["man", "-P", "cat", "ssh_config"], check=False, capture_output=True, text=True
    ).stdout
    named = re.findall(r"^     ([A-Z][A-Za-z0-9]+)$", re.sub(r".\x08", "", page), re.MULTILINE)
    if len(named) < 60:
        pytest.skip("the manual is not installed")
    assert [keyword for keyword in named if not known(keyword) and keyword != "Match"] == []


def test_no_keyword_has_two_rows() -> None:
    rows = [*FOLLOWED, *IRRELEVANT, *REFUSED]
    assert len(rows) == len(set(rows))


def test_the_documentation_is_the_table() -> None:
    assert table() in DOCS.read_text(encoding="utf-8")


def test_a_default_is_never_refused() -> None:
    assert list(refused({"pubkeyauthentication": ("true",)}, at_once=True)) == []
    assert list(refused({"pubkeyauthentication": ("no",)}, at_once=True)) == [
        ("PubkeyAuthentication no", "logins are by key only")
    ]
