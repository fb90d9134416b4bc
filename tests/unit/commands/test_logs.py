"""`logs` of one host, and the bundle that it makes."""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision.commands import bundle, logs
from provision.commands.bundle import Parts
from provision.errors import HostError, UsageError
from provision.facts import File, question
from provision.paths import CONFIG
from provision.report import Report, Style, output
from provision.result import HostResult
from provision.result.logs import Logs
from provision.spec import Config, Host, Inventory
from provision.transport import Answer, Listener, Payload
from tests.lab.cli import provision
from tests.unit.commands.test_inspect import SOUND, Recorded
from tests.unit.logs.test_builds import record
from tests.unit.recorded import COUNT, SPEC, settled

SECRET = "hunter2hunter2"


class Talking(Recorded):
    """Answers the facts, then the logs."""

    lines = (
        "log",
        f"|level=error no space left on device HTTPS_PROXY=http://x:{SECRET}@y",
        "|\x1b[31mred\x1b[0m \u202e",
        "history\tok",
        f"|{record()}",
        "environment",
        f"|NPM_TOKEN={SECRET}",
        "end",
    )

    def ask(
        self,
        script: str,
        *,
        timeout: float,
        payload: Payload | None = None,
        on_record: Listener | None = None,
        endless: bool = False,
    ) -> Answer:
        if not self.asked:
            return super().ask(script, timeout=timeout, payload=payload)
        self.asked.append(script)
        for line in self.lines:
            if on_record:
                on_record(line)
        return Answer(status=0, records=() if endless else self.lines, stderr="")


@pytest.fixture(autouse=True)
def one_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded programs counted 42 arguments."""
    monkeypatch.setattr(question, "argc", lambda: COUNT)


def shown(*, wanted: logs.Wanted | None = None) -> tuple[HostResult, dict[str, Parts]]:
    host, parts = Talking(SOUND), dict[str, Parts]()
    result = logs.show(host, SPEC, wanted or logs.Wanted(), lambda each: parts.update({host.name: each}))
    assert len(host.asked) == 2
    return result, parts


def test_two_requests_and_all_of_it() -> None:
    result, _ = shown()
    assert result.status == "ok"
    assert result.logs
    assert [row.status for row in result.logs.builds] == ["failed"]
    assert [each.seen for each in result.logs.known] == [
        "no space left on device",
        'process "/bin/false" did not complete successfully: exit code: 1',
    ]


def printed(report: Report, form: str = "table") -> str:
    out, err = io.StringIO(), io.StringIO()
    assert output(report, Style.of(form, out=out, err=err)) == 0
    return out.getvalue()


def test_what_a_host_sends_is_shown_harmless() -> None:
    result, _ = shown()
    text = printed(Report(command="logs", hosts=(result,)))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert SECRET not in text
    assert "fix: " in text
    assert "no space left on device" in text
    assert printed(Report(command="logs", hosts=(result,)), "json").isascii()


def test_of_several_hosts_each_line_names_its_own() -> None:
    one, two = (
        HostResult(host=name, status="ok", logs=Logs(source="x", lines=("a line",))) for name in "ab"
    )
    text = printed(Report(command="logs", hosts=(one, two)))
    assert "a: a line\n" in text
    assert "b: a line\n" in text


def test_json_has_a_place_for_everything() -> None:
    result, _ = shown()
    (host,) = json.loads(printed(Report(command="logs", hosts=(result,)), "json"))["hosts"]
    assert set(host) == {
        *("host", "status", "seconds", "notes", "error"),
        *("source", "log", "workers", "builds", "kills", "killed", "memory", "room", "known"),
    }
    assert set(host["builds"][0]) == {
        *("ref", "status", "created", "seconds", "platforms", "steps", "cached", "error", "output"),
    }
    assert set(host["known"][0]) == {"seen", "cause", "fix", "times"}
    assert set(host["memory"]) == {"size", "available", "swap"}
    assert host["known"][0]["fix"].startswith("/usr/local/bin/buildctl prune")


def test_following_prints_each_line_and_ends() -> None:
    host, out = Talking(SOUND), io.StringIO()
    assert logs.follow(host, SPEC, logs.Wanted(), logs.Printer(out=out, several=False)).status == "ok"
    assert "--follow" in host.asked[1]
    assert "hunter2" not in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert len(out.getvalue().splitlines()) == len(host.lines)


def test_following_ends_when_nobody_reads() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stopped = []
    host = Talking(SOUND)
    host.stop = lambda: stopped.append(True)  # type: ignore[method-assign]
    with os.fdopen(writing, "w") as out:
        logs.follow(host, SPEC, logs.Wanted(), logs.Printer(out=out, several=True))
    assert stopped


# The bundle


def members(file: Path) -> dict[str, str]:
    with tarfile.open(file) as archive:
        return {
            each.name.removeprefix("provision-logs/"): content.read().decode()
            for each in archive
            if (content := archive.extractfile(each))
        }


def bundled(folder: Path, *, host: str = "pi1") -> dict[str, str]:
    result, parts = shown(wanted=logs.Wanted(bundle=True))
    file, configuration = folder / "x.tar.gz", folder / "provision.toml"
    configuration.write_text(f'[ssh]\nsudo_password_command = "echo --password {SECRET}"\n')
    seen = replace(
        parts["pi1"].facts,
        files={
            **settled().files,
            CONFIG: File(path=CONFIG, mode=0o644, owner="root", group="root", text=f'token = "{SECRET}"\n'),
        },
    )
    config = Config(spec=SPEC, path=configuration, inventory=Inventory(hosts={host: Host(name=host)}))
    report = Report(command="logs", hosts=(replace(result, host=host),))
    bundle.write(file, report, {host: replace(parts["pi1"], facts=seen)}, config, "v0.32.2")
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in folder.iterdir()) == ["provision.toml", "x.tar.gz"]
    return members(file)


def test_the_bundle_holds_everything_and_no_secret(tmp_path: Path) -> None:
    found = bundled(tmp_path)
    assert set(found) == {
        *("README.txt", "report.json", "provision.toml"),
        *(f"pi1/{name}" for name in ("log.txt", "facts.json", "health.json", "plan.json")),
        *("pi1/buildkitd.toml", "pi1/buildkitd.env"),
    }
    assert [name for name, text in found.items() if SECRET in text] == []
    texts: dict[str, Any] = {
        name: json.loads(text) for name, text in found.items() if name.endswith(".json")
    }
    assert texts["report.json"]["command"] == "logs"
    assert texts["pi1/health.json"]["command"] == "health"
    assert texts["pi1/plan.json"]["command"] == "plan"
    assert texts["pi1/facts.json"]["system"]["kernel"]


def test_a_hosts_name_leads_nowhere_else(tmp_path: Path) -> None:
    found = bundled(tmp_path, host="../../etc")
    assert all(".." not in name.split("/") for name in found)
    assert "_.._etc/log.txt" in found


def test_a_host_that_was_not_reached_is_in_the_report(tmp_path: Path) -> None:
    lost = HostResult.of_error("pi1", HostError("gone"))
    bundle.write(tmp_path / "x.tgz", Report(command="logs", hosts=(lost,)), {}, Config(), "v0.32.2")
    assert "gone" in members(tmp_path / "x.tgz")["report.json"]


def test_what_stands_against_the_plan_is_in_it(tmp_path: Path) -> None:
    part = Parts(facts=replace(settled(), user=replace(settled().user, uid=1000)), environment="")
    result = HostResult(host="pi1", status="ok", logs=Logs())
    bundle.write(
        tmp_path / "x.tgz", Report(command="logs", hosts=(result,)), {"pi1": part}, Config(), "v0.32.2"
    )
    assert json.loads(members(tmp_path / "x.tgz")["pi1/plan.json"])["errors"]


@pytest.mark.parametrize("name", ["missing/x.tar.gz", "."])
def test_a_bundle_that_cannot_be_written_is_refused_at_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        bundle.check_place(tmp_path / name)


def test_the_command(tmp_path: Path) -> None:
    seen = provision("logs", "--lines", "2", "--format", "json", "--bundle", "x.tar.gz", cwd=tmp_path)
    assert seen.code == 0, seen.err
    assert (tmp_path / "x.tar.gz").exists()
    assert "x.tar.gz" in seen.err
    assert seen.host["memory"]["size"] > 0


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--since", "yesterday"), "--since must be a duration"),
        (("--lines", "0"), "--lines must be a whole number"),
        (("--follow", "--format", "json"), "--follow shows lines as they come"),
        (("--bundle", "nowhere/x.tar.gz"), "--bundle nowhere/x.tar.gz cannot be written"),
    ],
)
def test_bad_words_are_refused_at_once(words: tuple[str, ...], what: str, tmp_path: Path) -> None:
    seen = provision("logs", *words, cwd=tmp_path)
    assert seen.code == 1
    assert what in (seen.err or seen.envelope["errors"][0]["message"]) or what in seen.out
