"""Files with environment variables, and what systemd makes of them.

tests/host asks the real systemd whether it agrees.
"""

from __future__ import annotations

from typing import Final

CASES: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    ("", {}),
    ("A=1", {"A": "1"}),
    ("A=1\nB=2\n", {"A": "1", "B": "2"}),
    ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    ("A=1\nA=2\n", {"A": "2"}),
    ("A=\n", {"A": ""}),
    ("# A=1\n; B=2\n  # C=3\nD=4", {"D": "4"}),
    ("# A=1 \\\nB=2\n", {"B": "2"}),
    ("no assignment\nA=1\n=2\n", {"A": "1"}),
    ("export A=1\n1B=2\nC-D=3\nE.F=4\n_G=5\n", {"_G": "5"}),
    ("  A =  one  two\tthree \t \n", {"A": "one  two\tthree"}),
    ("A=a=b=c\n", {"A": "a=b=c"}),
    ("A='one  $B `x` \\ \"two\"'\n", {"A": 'one  $B `x` \\ "two"'}),
    ('A="one $B \\$C \\` \\" \\\\ \\x \'two\'"\n', {"A": "one $B $C ` \" \\ \\x 'two'"}),
    ("A='one\ntwo'\nB=\"three\nfour\"\n", {"A": "one\ntwo", "B": "three\nfour"}),
    ('A="one\\\ntwo"\nB=three\\\nfour\n', {"A": "onetwo", "B": "threefour"}),
    ("A=one\\ two\\\\\\x\n", {"A": "one two\\x"}),
    ("A=one \\\n  two\n", {"A": "one   two"}),
    ("A=one\\ \n", {"A": "one "}),
    ("A='one '  \n", {"A": "one "}),
    ("A='one'two\"three\" four\n", {"A": 'onetwo"three" four'}),
    ("A='one' 'two'\n", {"A": "onetwo"}),
    ('A=it\'s "so"\n', {"A": 'it\'s "so"'}),
    ("A='never closed\n", {"A": "never closed\n"}),
    (
        "A=$(touch /lab/pwned)\nB=`touch /lab/pwned`\nC=;touch /lab/pwned\n",
        {
            "A": "$(touch /lab/pwned)",
            "B": "`touch /lab/pwned`",
            "C": ";touch /lab/pwned",
        },
    ),
    ("A=* ? [a] ~ {b,c} !d\n", {"A": "* ? [a] ~ {b,c} !d"}),
    ("A=ä ö €\n", {"A": "ä ö €"}),
    (
        "HTTPS_PROXY=http://u:p%40@proxy.example:3128\nNO_PROXY=localhost,.example\n",
        {
            "HTTPS_PROXY": "http://u:p%40@proxy.example:3128",
            "NO_PROXY": "localhost,.example",
        },
    ),
    ("UID=7\nIFS=x\nLC_ALL=C.UTF-8\n", {"UID": "7", "IFS": "x", "LC_ALL": "C.UTF-8"}),
)
"""The file's text, and the variables that come of it."""
