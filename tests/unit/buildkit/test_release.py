"""Which release, from where, and which digest it must have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.architectures import ARCHITECTURES
from provision.buildkit import release, version
from provision.buildkit.asset import EMPTY_FILE, Asset, asset_for, digest_keys
from provision.buildkit.compatibility import conflicts
from provision.buildkit.digest import Digest, digest_for, known_as, pinned
from provision.buildkit.latest import latest
from provision.buildkit.source import RELEASES, base_of, shown
from provision.errors import ChecksumError, ConfigError, ReleaseError
from provision.spec import DEFAULT_VERSION, Buildkit, Log
from tests.lab.mirror import Mirror
from tests.lab.release import statement
from tests.unit.scripted import Asked, Reply, serve

UNKNOWN = "v0.99.0"  # a version that no pinned table has


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class TestVersion:
    @pytest.mark.parametrize(
        ("text", "tag"),
        [
            ("0.32.2", "v0.32.2"),
            (" v0.32.2\n", "v0.32.2"),
            ("v0.33.0-rc1", "v0.33.0-rc1"),
            ("10.0.0", "v10.0.0"),
        ],
    )
    def test_spellings(self, text: str, tag: str) -> None:
        assert version.canonical(text) == tag

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0.32",
            "v0.32.2.1",
            "v00.32.2",
            "dockerfile/1.26.0",
            "../v0.32.2",
            "v0.32.2;id",
            "v0.32.٢",
            "latest",
        ],
    )
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(ConfigError, match="not a BuildKit version"):
            version.canonical(text)

    @given(st.text())
    def test_a_tag_is_harmless_in_a_path(self, text: str) -> None:
        try:
            tag = version.canonical(text)
        except ConfigError:
            return
        assert set(tag) <= set("v0123456789.-rcbeta")
        assert ".." not in tag

    def test_numbers_are_not_compared_as_text(self) -> None:
        assert version.at_least("v0.32.10", "v0.32.9")
        assert not version.at_least("v0.30.0-rc1", "v0.30.0")

    def test_floors(self) -> None:
        assert version.warnings(DEFAULT_VERSION) == ()
        assert version.warnings("v0.31.2") == ()
        assert "security" in version.warnings("v0.31.1")[0]
        assert "security" in version.warnings("v0.12.5")[0]
        assert "skipped" in version.warnings("v0.32.0")[0]
        assert "security" in version.warnings("v0.12.4")[0]
        assert conflicts(Buildkit(), "v0.12.5") == ()
        (refused,) = conflicts(Buildkit(), "v0.12.4")
        assert refused.setting == "buildkit.version"
        assert "a build can break out of v0.12.4" in refused.problem
        assert "allow_insecure_version" in refused.problem
        assert conflicts(Buildkit(allow_insecure_version=True), "v0.12.4") == ()


class TestAsset:
    @pytest.mark.parametrize(
        ("machine", "bits", "suffix"),
        [
            ("x86_64", 64, "amd64"),
            ("x86_64", 32, "amd64"),
            ("aarch64", 64, "arm64"),
            ("aarch64", 32, "arm64"),  # 32-bit Raspberry Pi OS on its 64-bit kernel
            ("armv8l", 32, "arm64"),  # the same under a 32-bit personality
            ("armv7l", 32, "arm-v7"),
            ("ppc64le", 64, "ppc64le"),
            ("riscv64", 64, "riscv64"),
            ("s390x", 64, "s390x"),
        ],
    )
    def test_machines(self, machine: str, bits: int, suffix: str) -> None:
        asset = asset_for("v0.32.2", machine, bits)
        assert asset.name == f"buildkit-v0.32.2.linux-{suffix}.tar.gz"
        assert asset.provenance == f"buildkit-v0.32.2.linux-{suffix}.provenance.json"
        assert asset.key == f"linux-{suffix}"

    def test_what_is_told(self) -> None:
        assert "Userland has 32 bits" in asset_for("v0.32.2", "aarch64", 32).notes[0]
        assert "32-bit guests only" in asset_for("v0.32.2", "armv7l", 32).notes[0]
        assert asset_for("v0.32.2", "x86_64", 64).notes == ()

    def test_armv6_would_end_with_an_illegal_instruction(self) -> None:
        with pytest.raises(ReleaseError, match="no release for armv6l") as caught:
            asset_for("v0.32.2", "armv6l", 32)
        assert "illegal instruction" in caught.value.cause

    @pytest.mark.parametrize("machine", ["i686", "loongarch64", "mips64", "armv5tejl", "sparc64", ""])
    def test_no_release(self, machine: str) -> None:
        with pytest.raises(ReleaseError, match="no release for") as caught:
            asset_for("v0.32.2", machine, 32)
        assert "amd64, arm64, arm-v7" in caught.value.cause

    def test_every_pinned_file_is_one_of_these(self) -> None:
        suffixes = [row.asset for row in ARCHITECTURES if row.asset]
        made = {
            Asset(version=name.split(".linux-")[0].removeprefix("buildkit-"), suffix=suffix).name
            for name in pinned()
            for suffix in suffixes
        }
        assert pinned().keys() <= made


class TestDigest:
    PINNED = Asset(version="v0.32.2", suffix="amd64")
    OTHER = Asset(version=UNKNOWN, suffix="amd64")
    SUM = hashlib.sha256(b"archive").hexdigest()
    TWICE = (
        {"name": OTHER.name, "digest": {"sha256": SUM}},
        {"name": OTHER.name, "digest": {"sha256": "a" * 64}},
    )

    def test_the_table_is_whole(self) -> None:
        assert len(pinned()) == 350
        assert EMPTY_FILE not in pinned().values()
        assert all(len(value) == 64 and set(value) <= set("0123456789abcdef") for value in pinned().values())
        assert known_as(pinned()[self.PINNED.name]) == self.PINNED.name

    def test_pinned(self) -> None:
        digest = digest_for(self.PINNED, given={}, location="/nowhere/x")
        assert digest == Digest(value=pinned()[self.PINNED.name], source="pinned")

    def test_the_users_digest_beats_the_table_and_says_so(self) -> None:
        digest = digest_for(self.PINNED, given={"linux-amd64": self.SUM}, location="/nowhere/x")
        assert (digest.value, digest.source) == (self.SUM, "user")
        assert pinned()[self.PINNED.name] in digest.note

    def test_no_complaint_where_both_agree(self) -> None:
        value = pinned()[self.PINNED.name]
        assert "pinned" not in digest_for(self.PINNED, given={"linux-amd64": value}, location="/x/y").note

    def test_another_machines_digest_is_not_used(self) -> None:
        assert digest_for(self.PINNED, given={"linux-arm64": self.SUM}, location="/x/y").source == "pinned"

    def test_every_archive_may_have_a_digest_of_the_users(self) -> None:
        assert set(digest_keys()) == {f"linux-{row.asset}" for row in ARCHITECTURES if row.asset}

    def test_the_digest_of_an_empty_file_proves_nothing(self, tmp_path: Path) -> None:
        self._state(tmp_path, statement(self.OTHER.name, EMPTY_FILE))
        with pytest.raises(ChecksumError, match="empty file"):
            digest_for(self.OTHER, given={}, location=str(tmp_path / self.OTHER.name))

    def test_provenance_is_said_to_be_weaker(self, tmp_path: Path) -> None:
        self._state(tmp_path, statement(self.OTHER.name, self.SUM))
        digest = digest_for(self.OTHER, given={}, location=str(tmp_path / self.OTHER.name))
        assert (digest.value, digest.source) == (self.SUM, "provenance")
        assert "weaker" in digest.note

    @pytest.mark.parametrize(
        "content",
        [
            statement("buildkit-v0.99.0.linux-arm64.tar.gz", SUM),  # another file's
            {**statement(OTHER.name, SUM), "_type": "https://example.com/Statement"},
            {"subject": [{"name": OTHER.name, "digest": {"sha256": SUM}}]},
            statement(OTHER.name, "deadbeef"),
            {**statement(OTHER.name, SUM), "subject": [{"name": OTHER.name, "digest": {"sha1": "0" * 40}}]},
            {**statement(OTHER.name, SUM), "subject": TWICE},
            {**statement(OTHER.name, SUM), "subject": [{"name": OTHER.name, "digest": {"sha256": ["x"]}}]},
            [],
            "text",
        ],
    )
    def test_a_statement_about_something_else(self, tmp_path: Path, content: object) -> None:
        self._state(tmp_path, content)
        with pytest.raises(ChecksumError, match="no digest is known for"):
            digest_for(self.OTHER, given={}, location=str(tmp_path / self.OTHER.name))

    def test_no_digest_is_known(self, tmp_path: Path) -> None:
        with pytest.raises(ChecksumError, match="no digest is known for") as caught:
            digest_for(self.OTHER, given={}, location=str(tmp_path / self.OTHER.name))
        assert '"linux-amd64"' in caught.value.hint

    def test_a_dead_network_is_not_taken_for_a_missing_statement(self) -> None:
        with serve(lambda _: Reply(status=503)) as server:
            location = f"{server.url}/{UNKNOWN}/{self.OTHER.name}"
            with pytest.raises(ReleaseError, match="is not available now") as caught:
                digest_for(self.OTHER, given={}, location=location)
        assert not isinstance(caught.value, ChecksumError)
        assert len(server.asked) == 2

    def _state(self, folder: Path, content: object) -> None:
        (folder / self.OTHER.provenance).write_text(json.dumps(content))


class TestPlaces:
    def test_the_release_host(self) -> None:
        assert base_of(None) == RELEASES == "https://github.com/moby/buildkit/releases/download"

    def test_mirrors(self) -> None:
        for mirror in ("https://mirror.example/buildkit", "/srv/mirror"):
            assert base_of(mirror) == mirror

    def test_a_login_is_not_shown(self) -> None:
        assert shown("https://me:p%40ss@mirror:8443/x@y") == "https://mirror:8443/x@y"


class TestLatest:
    def test_by_redirect(self, tmp_path: Path) -> None:
        with Mirror(tmp_path, latest="v0.32.2") as mirror:
            assert latest(mirror.url) == "v0.32.2"
        assert mirror.count() == 1, "where it leads need not exist"

    def test_by_text(self) -> None:
        with serve(lambda _: Reply(body=b"v0.31.2\n")) as server:
            assert latest(f"{server.url}/buildkit") == "v0.31.2"
        assert server.asked[0].target == "/buildkit/latest"

    def test_by_a_redirect_of_a_redirect(self) -> None:
        hops = {"/latest": "/moved/latest", "/moved/latest": "/moved/tag/v0.30.0/"}
        with serve(lambda asked: Reply(status=302, headers={"Location": hops[asked.target]})) as server:
            assert latest(server.url) == "v0.30.0"

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(body=b"<html>log in</html>"),
            Reply(body=b""),
            Reply(body=b"v0.33.0-rc1"),
            Reply(status=302, headers={"Location": "/latest"}),  # for ever
        ],
    )
    def test_no_version(self, reply: Reply) -> None:
        with serve(lambda _: reply) as server, pytest.raises(ReleaseError, match="does not say which"):
            latest(server.url)

    def test_missing(self, tmp_path: Path) -> None:
        with Mirror(tmp_path) as mirror, pytest.raises(ReleaseError, match="there is no"):
            latest(mirror.url)

    def test_in_a_folder_the_highest_finished_version(self, tmp_path: Path) -> None:
        for name in ("v0.9.3", "v0.32.2", "v0.33.0-rc1", "0.40.0", "dockerfile", "v0.5"):
            (tmp_path / name).mkdir()
        (tmp_path / "v0.50.0").touch()  # a file is no version's folder
        assert latest(str(tmp_path)) == "v0.32.2"

    def test_in_a_folder_by_file_or_symlink(self, tmp_path: Path) -> None:
        (tmp_path / "v0.31.2").mkdir()
        (tmp_path / "v0.32.2").mkdir()
        pointer = tmp_path / "latest"
        pointer.write_text("v0.31.2\n")
        assert latest(str(tmp_path)) == "v0.31.2"
        pointer.unlink()
        pointer.symlink_to("v0.31.2")
        assert latest(str(tmp_path)) == "v0.31.2"

    def test_a_folder_without_any(self, tmp_path: Path) -> None:
        with pytest.raises(ReleaseError, match="holds no BuildKit"):
            latest(str(tmp_path))
        with pytest.raises(ReleaseError, match="cannot use"):
            latest(str(tmp_path / "missing"))
        (tmp_path / "latest").write_bytes(b"\xff" * 1000)
        with pytest.raises(ReleaseError, match="does not say which"):
            latest(str(tmp_path))


class TestRelease:
    def test_the_default(self) -> None:
        buildkit = Buildkit()
        wanted = release.wanted_version(buildkit)
        made = release.resolve(buildkit, version=wanted, machine="x86_64")
        assert made.location == f"{RELEASES}/{wanted}/buildkit-{wanted}.linux-amd64.tar.gz"
        assert (made.digest.source, made.notes, made.version) == ("pinned", (), wanted)

    def test_notes_are_collected(self) -> None:
        given: Mapping[str, str] = {"linux-arm64": "a" * 64}
        made = release.resolve(
            Buildkit(sha256=given), version="v0.31.0", machine="aarch64", userland_bits=32
        )
        assert [
            any(word in note for note in made.notes) for word in ("security", "32 bits", "you gave")
        ] == [True] * 3

    @pytest.mark.parametrize(
        ("newest", "buildkit", "words"),
        [
            ("v0.12.4", Buildkit(), "buildkit.version is refused"),
            ("v0.20.0", Buildkit(log=Log(level="debug")), "buildkit.log.level needs BuildKit v0.30.0"),
        ],
    )
    def test_a_latest_that_does_not_suit_is_refused_once_for_all_hosts(
        self, tmp_path: Path, newest: str, buildkit: Buildkit, words: str
    ) -> None:
        (tmp_path / newest).mkdir()
        latest_of_mirror = replace(buildkit, version="latest", mirror=str(tmp_path))
        with pytest.raises(ReleaseError, match=f"is {newest}, which does not suit") as caught:
            release.wanted_version(latest_of_mirror)
        assert words in caught.value.cause
        assert "Put a newer release there" in caught.value.hint
        (tmp_path / DEFAULT_VERSION).mkdir()
        assert release.wanted_version(latest_of_mirror) == DEFAULT_VERSION

    def test_the_latest_of_a_mirror_by_provenance(self, tmp_path: Path) -> None:
        archive = b"\x1f\x8b archive"
        asset = Asset(version=UNKNOWN, suffix="s390x")
        place = tmp_path / "mirror" / UNKNOWN
        place.mkdir(parents=True)
        (place / asset.name).write_bytes(archive)
        digest = hashlib.sha256(archive).hexdigest()
        (place / asset.provenance).write_text(json.dumps(statement(asset.name, digest)))
        with Mirror(tmp_path / "mirror", latest=UNKNOWN) as mirror:
            for where in (mirror.url, str(tmp_path / "mirror")):
                buildkit = Buildkit(version="latest", mirror=where)
                wanted = release.wanted_version(buildkit)
                made = release.resolve(buildkit, version=wanted, machine="s390x")
                assert (made.version, made.digest.source) == (UNKNOWN, "provenance")
                assert release.fetch(made, tmp_path / where.replace("/", "_")).read_bytes() == archive

    def test_a_version_that_was_not_built_for_this_machine(self, tmp_path: Path) -> None:
        with Mirror(tmp_path) as mirror:
            made = release.resolve(Buildkit(mirror=mirror.url), version="v0.32.2", machine="x86_64")
            with pytest.raises(
                ReleaseError, match=r"no BuildKit v0\.32\.2 for linux-amd64 at http"
            ) as caught:
                release.fetch(made, tmp_path / "cache", pause=0)
        assert "404" in caught.value.cause
        local = replace(made, location=str(tmp_path / "nothing"))
        with pytest.raises(ReleaseError, match=r"no BuildKit v0\.32\.2"):
            release.fetch(local, tmp_path / "cache", pause=0)


def test_github_shape() -> None:
    """The redirect that github.com answers with, seen from where it leads."""

    def answer(asked: Asked) -> Reply:
        assert asked.target == "/latest"
        return Reply(
            status=302, headers={"Location": "https://github.com/moby/buildkit/releases/tag/v0.32.2"}
        )

    with serve(answer) as server:
        assert latest(server.url) == "v0.32.2"
