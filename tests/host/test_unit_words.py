"""What the filters `unit`, `exec` and `tmpfiles` write is what a real systemd reads; and how it reads variables."""

from __future__ import annotations

import base64

import pytest

from provision.render import exec_word, tmpfiles, unit
from tests.lab.nspawn import Host
from tests.shells.environment import CASES

WORDS = (
    *("plain", "a b", "", "$HOME", "${HOME}", "$$", "%h", "%%", "%", "'q'", '"dq"', "`id`", "$(id)"),
    *(
        "back\\slash",
        "end\\",
        "new\nline",
        "cr\rx",
        "tab\tx",
        ";",
        "#x",
        "-x",
        "a;b",
        "{}",
        "~",
        "\\x24",
        "\\n",
    ),
    *("ä€", "\x1b[31m", "\x7f", "\u2028", "a=b", "@", "!", "*", "tcp://[::1]:1234"),
)
OWN = {"INVOCATION_ID", "SYSTEMD_EXEC_PID", "JOURNAL_STREAM", "MEMORY_PRESSURE_WATCH"}
UNIT = r"""
[Service]
Type=oneshot
ExecStart=/usr/bin/printf %%s\x5c0 {words}
ExecStart=/usr/bin/env -0
StandardOutput=append:/run/words
{variables}
"""


def test_words_of_a_command_and_of_the_environment(host: Host) -> None:
    variables = "\n".join(f"Environment=WORD{at}={unit(word)}" for at, word in enumerate(WORDS))
    text = UNIT.format(words=" ".join(map(exec_word, WORDS)), variables=variables)
    host.run("cat > /run/systemd/system/words.service", stdin=text)
    host.run("systemctl daemon-reload && systemctl start words.service")
    *seen, _ = base64.b64decode(host.run("base64 /run/words").stdout).decode().split("\0")
    assert tuple(seen[: len(WORDS)]) == WORDS
    environment = dict(line.partition("=")[::2] for line in seen[len(WORDS) :])
    assert [environment[f"WORD{at}"] for at in range(len(WORDS))] == list(WORDS)


def test_fields_of_tmpfiles(host: Host) -> None:
    """No group is called so, but whatever a field holds stays one field."""
    for number, word in enumerate(("a b", "a'b", 'a"b', "a\\b", "$a", "ä", "a#", "a\\x20b")):
        host.run("cat >> /etc/group", stdin=f"{word}:x:{5000 + number}:\n")
        line = f"d {tmpfiles(f'/run/{word}')} 0750 root {tmpfiles(word)}\n"
        host.run("cat > /root/words.conf && systemd-tmpfiles --create /root/words.conf", stdin=line)
        made = host.run(f"find /run -maxdepth 1 -gid {5000 + number} -printf '%f'").stdout
        assert made == word


# From systemd 254 on a backslash at the end of a comment no longer continues it.
@pytest.mark.parametrize("host", ["trixie"], indirect=True)
def test_files_of_variables(host: Host) -> None:
    """The table that templates/services/environment.sh is held to, asked of systemd itself."""
    run = "systemd-run --quiet --wait --pipe --property=EnvironmentFile=/root/variables"
    own = set(base64.b64decode(host.run(f": > /root/variables; {run} env -0 | base64").stdout).split(b"\0"))
    for text, expected in CASES:
        host.run("cat > /root/variables", stdin=text)
        words = base64.b64decode(host.run(f"{run} env -0 | base64").stdout).split(b"\0")
        seen = dict(word.decode().split("=", 1) for word in words if word and word not in own)
        # Of its own, what differs from run to run.
        assert {k: v for k, v in seen.items() if k not in OWN or k in expected} == expected, text
