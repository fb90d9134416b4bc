"""buildctl's answers, as v0.32.2 gave them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.buildkit.failures import meaning_of
from provision.buildkit.workers import GcRule, covers, parse_workers
from provision.errors import HostError
from provision.fix import run

RESTART = run("systemctl", "restart", "buildkit.service")
NATIVE = (
    '[{"id":"ssydn8ihnyb1iifsmc1k5qcqk","labels":{"org.mobyproject.buildkit.worker.executor":"oci",'
    '"org.mobyproject.buildkit.worker.hostname":"vm","org.mobyproject.buildkit.worker.network":"host",'
    '"org.mobyproject.buildkit.worker.oci.process-mode":"sandbox",'
    '"org.mobyproject.buildkit.worker.selinux.enabled":"false",'
    '"org.mobyproject.buildkit.worker.snapshotter":"overlayfs"},'
    '"platforms":[{"architecture":"amd64","os":"linux"},{"architecture":"amd64","os":"linux","variant":"v2"},'
    '{"architecture":"amd64","os":"linux","variant":"v3"},{"architecture":"amd64","os":"linux","variant":"v4"},'
    '{"architecture":"386","os":"linux"}],'
    '"gcPolicy":[{"all":false,"filter":["type==source.local","type==exec.cachemount","type==source.git.checkout"],'
    '"keepDuration":172800000000000,"reservedSpace":0,"maxUsedSpace":512000000,"minFreeSpace":0},'
    '{"all":false,"filter":null,"keepDuration":5184000000000000,"reservedSpace":10000000000,'
    '"maxUsedSpace":100000000000,"minFreeSpace":51000000000},'
    '{"all":true,"filter":null,"keepDuration":0,"reservedSpace":10000000000,"maxUsedSpace":100000000000,'
    '"minFreeSpace":51000000000}],'
    '"buildkitVersion":{"package":"github.com/moby/buildkit","version":"v0.32.2","revision":"research",'
    '"dockerfileVersion":"1.26.0"},"cdiDevices":null}]\n'
)
# qemu-arm was registered after the daemon's start: v7 comes without its variant.
LATE = (
    '[{"architecture":"amd64","os":"linux"},{"architecture":"arm","os":"linux"},'
    '{"architecture":"arm","os":"linux","variant":"v6"}]'
)


def answer(platforms: list[dict[str, str]], **more: Any) -> str:
    return json.dumps([{"id": "x", "labels": None, "platforms": platforms, **more}])


class TestParse:
    def test_a_real_one(self) -> None:
        workers = parse_workers(NATIVE)
        assert workers.id == "ssydn8ihnyb1iifsmc1k5qcqk"
        assert workers.version == "v0.32.2"
        assert workers.platforms == (
            "linux/amd64",
            "linux/amd64/v2",
            "linux/amd64/v3",
            "linux/amd64/v4",
            "linux/386",
        )
        assert (workers.snapshotter, workers.network, workers.process_mode) == (
            "overlayfs",
            "host",
            "sandbox",
        )
        assert workers.gc[0] == GcRule(
            everything=False,
            filters=("type==source.local", "type==exec.cachemount", "type==source.git.checkout"),
            keep_seconds=172800,
            reserved=None,
            max_used=512_000_000,
            min_free=None,
        )
        assert workers.gc[2].everything
        assert workers.min_free == 51_000_000_000

    def test_a_missing_variant_is_filled_in(self) -> None:
        workers = parse_workers(answer(json.loads(LATE)))
        assert workers.platforms == ("linux/amd64", "linux/arm/v7", "linux/arm/v6")

    def test_one_platform_in_two_spellings_is_one(self) -> None:
        rows = [{"architecture": "arm64", "os": "linux", "variant": v} for v in ("", "v8")]
        assert parse_workers(answer(rows)).platforms == ("linux/arm64",)

    def test_an_old_daemon(self) -> None:
        old = answer(
            [{"architecture": "amd64", "os": "linux"}], gcPolicy=[{"keepDuration": 0, "keepBytes": 5}]
        )
        workers = parse_workers(old)
        assert (workers.version, workers.snapshotter, workers.gc[0].max_used) == (None, None, 5)
        assert workers.min_free == 0

    def test_the_first_worker_is_the_one_that_builds(self) -> None:
        both = json.dumps(json.loads(NATIVE) + json.loads(answer([])))
        assert parse_workers(both).id == "ssydn8ihnyb1iifsmc1k5qcqk"

    @pytest.mark.parametrize(
        "text", ["", "ID\tPLATFORMS\n", "[]", "{}", "null", "[null]", '[{"id":"x"}]', "[" * 100_000]
    )
    def test_what_is_no_answer(self, text: str) -> None:
        with pytest.raises(HostError, match="cannot be read") as caught:
            parse_workers(text)
        assert len(caught.value.cause) < 300

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda each: st.lists(each) | st.dictionaries(st.text(), each),
        )
    )
    def test_never_a_traceback(self, value: object) -> None:
        with pytest.raises(HostError):
            parse_workers(json.dumps([{"id": "x", "platforms": [value]}]))


class TestCovers:
    @pytest.mark.parametrize(
        ("listed", "platform", "expected"),
        [
            ("linux/arm64", "linux/arm64", "listed"),
            ("linux/arm64", "linux/arm/v7", "native-compatible"),
            ("linux/arm64", "linux/arm/v6", "native-compatible"),
            ("linux/arm/v7", "linux/arm/v6", "native-compatible"),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/arm/v7", "linux/arm64", None),
            ("linux/amd64", "linux/386", "native-compatible"),
            ("linux/386", "linux/amd64", None),
            ("linux/amd64", "linux/amd64/v2", None),
            ("linux/amd64/v3", "linux/amd64/v2", "native-compatible"),
            ("linux/amd64/v3", "linux/amd64", "native-compatible"),
            ("linux/amd64/v3", "linux/386", "native-compatible"),
            ("linux/mips64le", "linux/mips64", None),
            ("linux/ppc64le", "linux/ppc64", None),
            ("windows/amd64", "linux/386", None),
            ("linux/riscv64", "linux/riscv64", "listed"),
        ],
    )
    def test_as_containerd_matches(self, listed: str, platform: str, expected: str | None) -> None:
        assert covers((listed,), platform) == expected

    def test_listed_comes_first(self) -> None:
        assert covers(("linux/arm64", "linux/arm/v7"), "linux/arm/v7") == "listed"
        assert covers((), "linux/amd64") is None


FAILURES = {
    "dial unix /run/bk.sock: connect: no such file or directory": "does not run",
    "dial unix /run/bk.sock: connect: permission denied": "group",
    "dial unix /run/bk.sock: connect: connection refused": "nothing listens",
    "error reading server preface: EOF": "speaks TLS",
    "error reading server preface: remote error: tls: certificate required": "client certificate",
    "write tcp 127.0.0.1:54402->127.0.0.1:12399: write: broken pipe": "not made for clients",
    "x509: certificate is valid for build.local, not other.host": "another name",
    "x509: certificate signed by unknown authority": "authority",
    "x509: certificate relies on legacy Common Name field, use SANs instead": "alternative names",
    "x509: certificate has expired or is not yet valid: current time 2026": "clock",
    "directory did not contain one of the needed files: cert.pem or tls.crt": "--tlsdir",
    "exec /hello: exec format error": "no handler",
    "exec /hello: no such file or directory": "F flag",
}


class TestFailures:
    @pytest.mark.parametrize("said", FAILURES)
    def test_known_words(self, said: str) -> None:
        meaning = meaning_of(
            f'error: failed to list workers: Unavailable: connection error: desc = "{said}"\n',
            RESTART,
        )
        assert meaning
        assert FAILURES[said] in meaning.cause
        # A message that a wrong image and a wrong handler have in common has no fix of its own.
        assert bool(meaning.fix) == ("no such file or directory" not in said or "dial" in said)

    def test_a_build_that_failed(self) -> None:
        """The step's own words are above the error."""
        meaning = meaning_of(
            "#5 [linux/s390x 2/2] RUN /hello\n#5 0.052 exec /hello: exec format error\n"
            'error: failed to solve: process "/hello" did not complete successfully: exit code: 1\n',
            RESTART,
        )
        assert meaning
        assert "no handler" in meaning.cause

    @pytest.mark.parametrize("said", ["", "something new"])
    def test_unknown_words(self, said: str) -> None:
        assert meaning_of(said, RESTART) is None
