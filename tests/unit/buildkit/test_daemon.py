"""The daemon's settings, unit and socket folder: valid whatever is put in, no more than was asked for."""

from __future__ import annotations

import configparser
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.buildkit.compatibility import conflicts
from provision.buildkit.daemon import render_config, render_tmpfiles, render_unit, warnings
from provision.buildkit.gc import in_bytes, is_ordered, limits, sized
from provision.config.settings import SETTINGS
from provision.config.values import size
from provision.errors import UsageError
from provision.render import comment, exec_word, quote, render, tmpfiles, toml, toml_key, unit
from provision.spec import DEFAULT_VERSION, Buildkit, Dns, Log, Registry, Tls

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

NEW = DEFAULT_VERSION
GB = 10**9
TLS = Tls(cert="/tls/cert.pem", key="/tls/key.pem", ca="/tls/ca.pem")

hostile = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    [
        '"',
        "\\",
        '"\n[grpc]\naddress = ["tcp://0.0.0.0:1"]\n#',
        "\r\n",
        "\0",
        "\x7f",
        "'''",
        '"""',
        "$(id)",
        "\u2028",
        "{{ x }}",
    ]
)


def settings(buildkit: Buildkit, version: str = NEW, disk: int = 200 * GB) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(render_config(buildkit, version, disk))
    return found


class TestToml:
    def test_the_default(self) -> None:
        assert settings(Buildkit()) == {
            "worker": {
                "oci": {
                    "enabled": True,
                    "reservedSpace": 10 * GB,
                    "maxUsedSpace": 100 * GB,
                    "minFreeSpace": 40 * GB,
                },
                "containerd": {"enabled": False},
            }
        }

    def test_everything(self) -> None:
        buildkit = Buildkit(
            log=Log(level="debug", format="json"),
            tls=TLS,
            dns=Dns(nameservers=("10.0.0.1",), options=("edns0",), search_domains=("lan",)),
            gc={"reservedSpace": "5GB", "maxUsedSpace": "30%", "minFreeSpace": 1234},
            max_parallelism=4,
            network="bridge",
            labels={"com.example.rack": "7"},
            registries={
                "docker.io": Registry(mirrors=("mirror.lan:5000", "harbor.lan/proxy")),
                "mirror.lan:5000": Registry(http=True),
                "[fd00::1]:5000": Registry(insecure=True, ca=("/ca/a.pem", "/ca/b.pem")),
            },
        )
        assert settings(buildkit) == {
            "log": {"format": "json", "level": "debug"},
            "grpc": {"tls": {"cert": "/tls/cert.pem", "key": "/tls/key.pem", "ca": "/tls/ca.pem"}},
            "dns": {"nameservers": ["10.0.0.1"], "options": ["edns0"], "searchDomains": ["lan"]},
            "worker": {
                "oci": {
                    "enabled": True,
                    "reservedSpace": "5GB",
                    "maxUsedSpace": "30%",
                    "minFreeSpace": 1234,
                    "max-parallelism": 4,
                    "networkMode": "bridge",
                    "labels": {"com.example.rack": "7"},
                },
                "containerd": {"enabled": False},
            },
            "registry": {
                "docker.io": {"mirrors": ["mirror.lan:5000", "harbor.lan/proxy"]},
                "mirror.lan:5000": {"http": True},
                "[fd00::1]:5000": {"http": False, "insecure": True, "ca": ["/ca/a.pem", "/ca/b.pem"]},
            },
        }

    def test_the_same_twice(self) -> None:
        assert render_config(Buildkit(), NEW, GB) == render_config(Buildkit(), NEW, GB)

    @given(hostile, hostile, hostile)
    def test_no_value_breaks_out(self, label: str, path: str, server: str) -> None:
        buildkit = Buildkit(
            labels={"a.b": label},
            tls=Tls(cert=f"/{path}", key="/k"),
            dns=Dns(nameservers=(server,)),
            registries={"r": Registry(ca=(f"/{path}",))},
        )
        found = settings(buildkit)
        assert found["worker"]["oci"].pop("labels") == {"a.b": label}
        assert found.pop("grpc") == {"tls": {"cert": f"/{path}", "key": "/k"}}
        assert found.pop("dns") == {"nameservers": [server]}
        assert found.pop("registry") == {"r": {"http": False, "ca": [f"/{path}"]}}
        assert found == settings(Buildkit())

    @given(hostile)
    def test_no_name_breaks_out(self, name: str) -> None:
        found = settings(Buildkit(labels={name: "x"}, registries={name: Registry(http=True)}))
        assert found["worker"]["oci"].pop("labels") == {name: "x"}
        assert found.pop("registry") == {name: {"http": True}}
        assert found == settings(Buildkit())

    def test_a_stray_byte(self) -> None:
        with pytest.raises(UsageError, match="not valid Unicode"):
            render_config(Buildkit(labels={"a": "\udcff"}), NEW, GB)


class TestVersions:
    @pytest.mark.parametrize(
        ("buildkit", "since", "before"),
        [
            (Buildkit(log=Log(level="debug")), "v0.30.0", "v0.29.0"),
            (Buildkit(log=Log(format="json")), "v0.13.0", "v0.12.5"),
            (Buildkit(network="bridge"), "v0.13.0", "v0.12.5"),
            (Buildkit(gc={"maxUsedSpace": "5GB"}), "v0.17.0", "v0.16.0"),
            (Buildkit(max_parallelism=2), "v0.9.0", "v0.8.3"),
        ],
    )
    def test_a_key_that_is_too_new(self, buildkit: Buildkit, since: str, before: str) -> None:
        buildkit = replace(buildkit, allow_insecure_version=True)
        assert conflicts(buildkit, since) == ()
        found = conflicts(buildkit, before)
        assert [f"{since} or newer, not {before}" in each.problem for each in found] == [True]
        assert found[0].setting in SETTINGS

    def test_the_old_limit(self) -> None:
        assert settings(Buildkit(), "v0.16.0", 100 * GB)["worker"]["oci"] == {
            "enabled": True,
            "gckeepstorage": 60 * GB,
        }
        assert settings(Buildkit(), "v0.16.0", 0)["worker"]["oci"] == {"enabled": True}

    @pytest.mark.parametrize("version", ["v0.8.2", "v0.12.5", "v0.17.0", "v0.31.2", "v0.33.0-rc1"])
    def test_the_default_suits_every_version(self, version: str) -> None:
        assert settings(Buildkit(), version)["worker"]["containerd"] == {"enabled": False}


class TestLimits:
    @given(st.integers(min_value=1, max_value=10**16))
    def test_they_fit_the_disk(self, disk: int) -> None:
        found = sized(disk)
        assert 0 <= found["reservedSpace"] <= found["maxUsedSpace"] <= disk
        assert found["maxUsedSpace"] + found["minFreeSpace"] <= disk * 0.8 + 1

    def test_caps(self) -> None:
        assert sized(4000 * GB) == {
            "reservedSpace": 10 * GB,
            "maxUsedSpace": 100 * GB,
            "minFreeSpace": 50 * GB,
        }
        assert sized(16 * GB) == {
            "reservedSpace": 1600 * 10**6,
            "maxUsedSpace": 9600 * 10**6,
            "minFreeSpace": 3200 * 10**6,
        }
        assert sized(0) == {}

    @pytest.mark.parametrize(
        ("wanted", "merged"),
        [
            (
                {"minFreeSpace": "5%"},
                {"reservedSpace": 10 * GB, "maxUsedSpace": 60 * GB, "minFreeSpace": "5%"},
            ),
            # No reserve beside one's own maximum: it would beat it.
            ({"maxUsedSpace": "5GB"}, {"maxUsedSpace": "5GB", "minFreeSpace": 20 * GB}),
            ({"reservedSpace": GB}, {"reservedSpace": GB, "maxUsedSpace": 60 * GB, "minFreeSpace": 20 * GB}),
        ],
    )
    def test_what_is_left_open(
        self, wanted: Mapping[str, int | str], merged: Mapping[str, int | str]
    ) -> None:
        assert limits(wanted, 100 * GB) == merged

    @pytest.mark.parametrize(
        "value",
        [
            *[
                0,
                -1,
                True,
                "",
                "0",
                "-5GB",
                "10 apples",
                "101%",
                "0%",
                "5.5%",
                "1e9",
                "٣GB",
                "10GB\n",
                2**63,
            ],
            # What the daemon calls an invalid suffix (docker/go-units), 0 after rounding, and more than 63 bits.
            *["10gi", "10ib", "10bb", "10  GB", "0.0", "0.0001k", "9000000T", "9" * 400],
        ],
    )
    def test_not_a_size(self, value: int | str) -> None:
        with pytest.raises(ValueError, match="must be bytes as a number above 0"):
            size(value)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (12, 12),
            ("12", 12),
            ("12b", 12),
            ("10GB", 10 << 30),
            ("10 gib", 10 << 30),
            ("1.5k", 1536),
            ("2T", 2 << 40),
            ("30%", GB),  # rounded up: tests/kernel/test_daemon_settings.py asks the daemon
        ],
    )
    def test_sizes_as_the_daemon_reads_them(self, value: int | str, expected: int) -> None:
        assert in_bytes(value, 100) == expected
        assert size(value) == value

    @pytest.mark.parametrize(
        ("wanted", "ordered"),
        [
            ({"reservedSpace": 2, "maxUsedSpace": 1}, False),
            ({"reservedSpace": "2k", "maxUsedSpace": 2048}, True),
            ({"reservedSpace": "2k", "maxUsedSpace": 2047}, False),
            ({"reservedSpace": "31%", "maxUsedSpace": "30%"}, False),
            ({"reservedSpace": "30%", "maxUsedSpace": "30%"}, True),
            ({"reservedSpace": "100%", "maxUsedSpace": "1GB"}, True),  # the disk decides
            ({"reservedSpace": "100%"}, True),
        ],
    )
    def test_a_reserve_above_the_maximum(self, wanted: Mapping[str, int | str], ordered: bool) -> None:
        assert is_ordered(wanted) is ordered

    def test_where_the_disk_decides_the_maximum_holds(self) -> None:
        wanted: Mapping[str, int | str] = {"reservedSpace": "20%", "maxUsedSpace": "10GB"}
        small, large = 50 * GB, 100 * GB
        assert limits(wanted, small) == {**wanted, "minFreeSpace": 10 * GB}
        assert warnings(Buildkit(gc=wanted), small) == ()
        assert limits(wanted, large) == {
            "reservedSpace": "10GB",
            "maxUsedSpace": "10GB",
            "minFreeSpace": 20 * GB,
        }
        assert "reservedSpace (20%) is above maxUsedSpace (10GB)" in warnings(Buildkit(gc=wanted), large)[0]
        assert limits(wanted, 0) == wanted, "on a disk of unknown size both stand as they are"


class TestRegistries:
    def test_plain_http_is_not_forbidden_where_nothing_is_said(self) -> None:
        """With `http = false` the daemon would not fall back to it for localhost (util/resolver)."""
        assert settings(Buildkit(registries={"localhost:5000": Registry()}))["registry"] == {
            "localhost:5000": {}
        }


def parsed(text: str) -> dict[str, list[str]]:
    """The unit's settings; systemd lets a key stand several times."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


class TestUnit:
    def test_shape(self) -> None:
        text = render_unit(Buildkit(), NEW, "0123abcd")
        configparser.ConfigParser(strict=False, interpolation=None).read_string(text)
        unit = parsed(text)
        command, options = unit["ExecStart"][0].split(" ", 1)
        assert command == "/opt/buildkit/current/bin/buildkitd"
        assert options.split(" --") == [
            "--config /etc/buildkit/buildkitd.toml",
            "group buildkit",
            "addr unix:///run/buildkit/buildkitd.sock",
        ]
        environment = dict(line.split("=", 1) for line in unit["Environment"])
        assert environment["PATH"].startswith("/opt/buildkit/current/bin:/usr/local/sbin:")
        assert environment["TMPDIR"] == "/var/lib/buildkit/tmp"
        assert environment["PROVISION_GENERATION"] == "0123abcd"
        # A link in its place would end StateDirectory= (systemd/systemd#25097).
        assert "StateDirectory" not in unit
        assert unit["ExecStartPre"][-1] == "/bin/mkdir -p -m 0700 /var/lib/buildkit /var/lib/buildkit/tmp"
        assert "systemd-binfmt.service" in unit["After"][0]
        assert (unit["Type"], unit["Restart"], unit["SuccessExitStatus"]) == (["notify"], ["always"], ["1"])
        assert unit["LimitNOFILE"] == ["1024:1048576"]
        assert not unit.keys() & {
            "OOMScoreAdjust",
            "NoNewPrivileges",
            "SystemCallFilter",
            "RestrictSUIDSGID",
        }

    def test_every_address_is_in_the_unit_alone(self) -> None:
        buildkit = Buildkit(listen=("tcp://0.0.0.0:1234", "tcp://[::1]:1234"), tls=TLS, group="ci")
        words = shlex.split(parsed(render_unit(buildkit, NEW, ""))["ExecStart"][0])
        addresses = [word for flag, word in pairwise(words) if flag == "--addr"]
        assert addresses == ["unix:///run/buildkit/buildkitd.sock", *buildkit.listen]
        assert words[words.index("--group") + 1] == "ci"
        assert "address" not in settings(buildkit)["grpc"]

    @pytest.mark.parametrize(
        "address",
        ["tcp://127.0.0.1:1234", "tcp://localhost:1", "tcp://[::1]:65535", "tcp://127.8.9.1:80"],
    )
    def test_loopback_needs_no_tls(self, address: str) -> None:
        buildkit = Buildkit(listen=(address,))
        assert address in render_unit(buildkit, NEW, "")
        assert "become root" in warnings(buildkit, 0)[0]
        assert warnings(Buildkit(listen=(address,), network="bridge"), 0) == ()
        assert warnings(Buildkit(listen=(address,), tls=TLS), 0) == ()

    def test_the_sockets_folder(self) -> None:
        lines = [
            line for line in render_tmpfiles(Buildkit(group="ci")).splitlines() if not line.startswith("#")
        ]
        assert lines == ["d /run/buildkit 0750 root ci"]


def meant(word: str) -> str:
    """What systemd makes of the text of a word without quotes: C escapes, then specifiers (systemd.syntax(7))."""
    assert re.fullmatch(r"(?:[^\s\\\"'$%]|\\x[0-9a-f]{2}|%%)*", word), word
    data = re.sub(rb"\\x(..)", lambda found: bytes.fromhex(found[1].decode()), word.encode())
    # A "%" never comes out of an escape, so it does not matter which is undone first.
    assert b"\\x25" not in word.encode()
    return data.replace(b"%%", b"%").decode()


class TestRender:
    @given(hostile)
    def test_quoting_for_sh(self, text: str) -> None:
        if "\0" in text:
            with pytest.raises(UsageError, match="NUL"):
                quote(text)
        else:
            assert shlex.split(quote(text)) == [text]
            assert shlex.split(quote([text, "-n"])) == [text, "-n"]

    @given(st.recursive(hostile | st.integers() | st.booleans(), st.lists))
    def test_toml_literals(self, value: object) -> None:
        literal = toml(value)
        assert "\n" not in literal
        assert tomllib.loads(f"x = {literal}") == {"x": value}

    @given(hostile)
    def test_toml_keys(self, key: str) -> None:
        assert tomllib.loads(f"{toml_key(key)} = 1") == {key: 1}
        assert toml_key("max-parallelism") == "max-parallelism"

    @given(hostile)
    def test_words_of_units(self, text: str) -> None:
        """As systemd reads them (tests/host/test_unit_words.py asks a real one)."""
        if "\0" in text:
            for quoted in (unit, exec_word):
                with pytest.raises(UsageError, match="NUL"):
                    quoted(text)
            return
        assert meant(unit(text)) == text
        word = exec_word(text)
        assert word.isascii()
        assert word.split() == [word]
        assert meant(word.replace("$$", r"\x24") if text else "") == text
        assert "$" not in word.replace("$$", "")

    def test_a_word_that_needs_no_escape_stays_as_it_is(self) -> None:
        for word in ("/opt/buildkit/current/bin/buildkitd", "tcp://[::1]:1234", "buildkit", "a_b-c.d@e"):
            assert unit(word) == exec_word(word) == word
        assert (unit(""), exec_word("")) == ("", '""')

    @given(hostile)
    def test_fields_of_tmpfiles(self, text: str) -> None:
        try:
            field = tmpfiles(text)
        except UsageError:
            assert text in ("", "-") or text[0] == ":" or "%" in text or not text.isprintable()
            return
        assert shlex.split(field) == [text]
        assert field == text or (field[0], field[-1]) == ('"', '"')

    @given(hostile)
    def test_a_comment_is_one_line(self, text: str) -> None:
        assert comment(text).isprintable()
        assert len(comment(text)) == len(text)

    def test_text_that_is_not_unicode(self) -> None:
        for quoted in (toml, unit, exec_word):
            with pytest.raises(UsageError, match="not valid Unicode"):
                quoted("\udcff")

    def test_what_toml_has_no_form_for(self) -> None:
        for value in (None, {"a": 1}, b"x"):
            with pytest.raises(TypeError):
                toml(value)

    def test_a_forgotten_name_is_an_error(self) -> None:
        with pytest.raises(Exception, match="undefined"):
            render("buildkit.tmpfiles.conf", group="x")
