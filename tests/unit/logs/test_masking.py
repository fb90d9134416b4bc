"""Logs without secrets: what goes, and what must stay legible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.logs.masking import masked

SECRET = "hunter2hunter2"
HIDDEN = [
    f"HTTPS_PROXY=http://ci:{SECRET}@proxy:3128",
    f"Authorization: Bearer {SECRET}",
    f"authorization: Basic {SECRET}",
    f"NPM_TOKEN={SECRET} npm ci",
    f"registry_password='{SECRET} {SECRET}'",
    f'{{"build-arg:NPM_TOKEN":"{SECRET}","platform":"linux/arm64"}}',
    f'msg="x {{\\"client_secret\\": \\"{SECRET}\\"}}"',
    f"curl --token {SECRET} https://x",
    f"  password: {SECRET}",
    f'secret = "{SECRET}"',
    "ghp_0123456789abcdefghij" + SECRET,
    f"https://s3.example/layer?X-Amz-Signature={SECRET}&x=1",
    f"eyJhbGciOiJFUzI1NiJ9.{SECRET}.{SECRET}",
    f"x -----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY----- \nafter",
    f"AWS_SECRET_ACCESS_KEY={SECRET}",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_a_secret_is_hidden(text: str) -> None:
    seen = masked(text)
    assert SECRET not in seen
    assert "***" in seen


def test_what_stands_around_it_stays() -> None:
    assert masked(HIDDEN[0]) == "HTTPS_PROXY=http://***@proxy:3128"
    assert masked(HIDDEN[5]) == '{"build-arg:NPM_TOKEN":***,"platform":"linux/arm64"}'
    assert masked(next(text for text in HIDDEN if "BEGIN" in text)) == "x ***\nafter"


@pytest.mark.parametrize(
    "text",
    [
        "failed to authorize: failed to fetch oauth token: denied: requested access to the resource is denied",
        "error: failed to solve: no basic auth credentials",
        'time="2026-01-01T00:00:00Z" level=info msg="running server on /run/buildkit/buildkitd.sock"',
        "https://registry.example/v2/app/manifests/sha256:ab",
        "user@host:22",
        "found worker abc, labels=map[org.mobyproject.buildkit.worker.hostname:x]",
        "--password-stdin",
    ],
)
def test_a_message_stays_legible(text: str) -> None:
    assert masked(text) == text


@given(st.text())
def test_any_text_keeps_its_number_of_lines_or_loses_a_key(text: str) -> None:
    seen = masked(text)
    assert seen.count("\n") <= text.count("\n")
    assert masked(seen) == seen
