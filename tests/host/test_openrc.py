"""The main job on a host whose init is OpenRC: provisioned, rebooted, killed, restarted. And the same by a process."""

from __future__ import annotations

import json
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision import paths
from tests.host.test_provision import WANTED, check_build, check_platforms, run
from tests.lab.cli import COMMAND, environment
from tests.lab.inits import OPENRC
from tests.lab.nspawn import Host
from tests.lab.patience import until
from tests.lab.registry import Registry
from tests.lab.release import Release

pytestmark = pytest.mark.needs("mmdebstrap", "mmdebstrap")


@pytest.fixture
def host() -> Iterator[Host]:
    with Host("rc", init=OPENRC) as made:
        yield made


@pytest.fixture
def workshop(tmp_path: Path, host: Host, release: Release) -> Path:
    """A folder with the user's provision.toml: nothing in it says what the service manager is."""
    (tmp_path / "provision.toml").write_text(
        f"""
platforms = {json.dumps(WANTED)}
[buildkit]
mirror = "{release.mirror}"
sha256 = {{ "{release.platform}" = "{release.sha256}" }}
users = ["ci"]
[ssh]
config = "{host.folder / "ssh_config"}"
"""
    )
    return tmp_path


def findings(host: Host, workshop: Path) -> dict[str, str]:
    return {each["id"]: each["severity"] for each in run(host, workshop, "health").host["findings"]}


def pid(host: Host) -> int:
    return int(host.run(f"cat {paths.PID}").stdout)


def test_from_bare_to_pushed_image_and_through_a_reboot(
    host: Host, workshop: Path, registry: Registry
) -> None:
    checked = {each["id"]: each for each in run(host, workshop, "check").host["checks"]}
    assert checked["service"]["status"] == "ok"
    assert checked["service"]["seen"].startswith("OpenRC ")
    done = run(host, workshop, "provision")
    assert (done.code, done.envelope["status"]) == (0, "changed"), done
    assert {step["status"] for step in done.host["steps"]} == {"done"}
    again = run(host, workshop, "provision")
    assert (again.code, again.host["steps"]) == (0, []), again
    check_platforms(host, run(host, workshop, "platforms"))
    check_build(host, registry, "openrc:before")
    assert findings(host, workshop) == {}
    assert "supervise-daemon" in host.run("ps -ef | grep [s]upervise-daemon").stdout
    check_logs(host, workshop)
    check_following(host, workshop)

    host.reboot()
    check_platforms(host, run(host, workshop, "platforms"))
    assert run(host, workshop, "plan").code == 0
    check_build(host, registry, "openrc:after")
    assert findings(host, workshop) == {}


def fail_a_build(host: Host, word: str) -> None:
    """The daemon's log and its history have the word afterwards."""
    host.run(
        f"mkdir -p /tmp/fails && printf 'FROM scratch\\nCOPY {word} /\\n' >/tmp/fails/Dockerfile;"
        " ! buildctl build --frontend=dockerfile.v0 --local context=/tmp/fails --local dockerfile=/tmp/fails"
    )


def check_logs(host: Host, workshop: Path) -> None:
    fail_a_build(host, "lost-file")
    seen = run(host, workshop, "logs", "--bundle", "report.tar.gz").host
    assert seen["source"] == paths.LOG
    assert [line for line in seen["log"] if "lost-file" in line]
    assert set(WANTED) <= {*seen["workers"][0]["platforms"]}
    assert [each["status"] for each in seen["builds"]][-1] == "failed"
    assert "lost-file" in seen["builds"][-1]["error"]
    assert "completed" in {each["status"] for each in seen["builds"]}
    assert [each for each in seen["known"] if "lost-file" in each["cause"]]
    with tarfile.open(workshop / "report.tar.gz") as archive:
        names = {Path(name).name for name in archive.getnames()}
    assert {"report.json", "log.txt", "facts.json", "health.json", "plan.json"} <= names
    assert len(run(host, workshop, "logs", "--lines", "2").host["log"]) == 2


def check_following(host: Host, workshop: Path) -> None:
    """Two hosts, one of them without a log. Lines come as they are written, until Ctrl-C."""
    with Host("bare") as other:
        config = workshop / "both"
        config.write_text(host.ssh_config + other.ssh_config)
        words = ("logs", "--follow", "--hosts", f"{host.name},{other.name}", "--ssh-config", str(config))
        with subprocess.Popen(
            [str(COMMAND), *words],
            cwd=workshop,
            env=environment(workshop),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as following:
            assert following.stdout is not None
            next(following.stdout)  # the older lines: it listens
            fail_a_build(host, "new-fault")
            line = next(line for line in following.stdout if "new-fault" in line)
            following.send_signal(signal.SIGINT)
            rest, errors = following.communicate(timeout=30)
    assert line.startswith(f"{host.name}: ")
    assert (following.returncode, errors) == (0, ""), rest
    assert not host.run("pgrep -x tail", check=False).stdout


def test_what_openrc_restarts_and_what_it_would_not_bring_back(host: Host, workshop: Path) -> None:
    assert run(host, workshop, "provision").code == 0
    killed = pid(host)
    host.run(f"kill -KILL {killed}")
    assert until(lambda: findings(host, workshop) == {"service-restarts": "warning"}, 30)
    assert pid(host) != killed
    host.run("rc-service buildkit restart")  # by hand: the count begins again
    assert findings(host, workshop) == {}
    # It comes back after `rc-service` has returned: builds can start at once.
    host.run("rc-service buildkit restart && buildctl debug workers", user="root")
    host.run("rc-update delete buildkit default && rc-update delete provision-binfmt boot")
    assert findings(host, workshop) == {"service-disabled": "warning", "boot-no-loader": "warning"}
    planned = run(host, workshop, "plan")
    assert [step["id"] for step in planned.host["steps"]] == ["binfmt-boot", "service-enable"]
    assert run(host, workshop, "provision").code == 0
    host.run("rc-service buildkit stop")
    assert findings(host, workshop) == {"service-stopped": "error"}
    assert not host.run("pgrep buildkitd", check=False).stdout
    assert [step["id"] for step in run(host, workshop, "provision").host["steps"]] == ["service-start"]
    assert findings(host, workshop) == {}


def test_a_daemon_that_does_not_come_up_is_told_with_its_own_words(host: Host, workshop: Path) -> None:
    assert run(host, workshop, "provision").code == 0
    host.run("rc-service buildkit stop && mv /var/lib/buildkit /var/lib/kept && touch /var/lib/buildkit")
    refused = run(host, workshop, "provision")
    assert (refused.code, refused.host["steps"]) == (3, [])
    assert refused.host["error"]["message"] == "/var/lib/buildkit is no folder"
    assert host.run("rc-service buildkit start", check=False).returncode != 0
    assert findings(host, workshop) == {"state-folder": "error", "service-stopped": "error"}
    host.run("rm /var/lib/buildkit && mv /var/lib/kept /var/lib/buildkit")
    assert run(host, workshop, "provision").code == 0
    # A configuration that the daemon refuses: by hand, as this tool writes none.
    host.run(f"cp {paths.CONFIG} /root/ && echo 'no toml [' > {paths.CONFIG}")
    answer = host.run("rc-service buildkit restart", check=False)
    assert answer.returncode != 0
    assert "toml" in answer.stdout + answer.stderr
    assert findings(host, workshop)["service-stopped"] == "error"
    assert run(host, workshop, "provision").code == 0


def test_another_manager_takes_over_and_gives_back(host: Host, workshop: Path, registry: Registry) -> None:
    assert run(host, workshop, "provision").code == 0
    supervised = pid(host)
    moved = run(host, workshop, "provision", "--service", "process")
    assert moved.code == 0, moved
    assert {"openrc-disable", "openrc-stop", "service-start"} <= {step["id"] for step in moved.host["steps"]}
    assert pid(host) != supervised
    assert not host.run("pgrep -f '[s]upervise-daemon'", check=False).stdout
    assert run(host, workshop, "plan", "--service", "process").code == 0
    check_build(host, registry, "openrc:process")
    # What its owner is told to put into a boot script brings all of it back.
    host.reboot()
    assert run(host, workshop, "health", "--service", "process").code == 5
    host.run(f"{paths.SERVICE_SCRIPT} start")
    check_platforms(host, run(host, workshop, "platforms"))
    assert run(host, workshop, "plan", "--service", "process").code == 0
    back = run(host, workshop, "provision")
    assert back.code == 0, back
    assert run(host, workshop, "plan").code == 0
    assert host.run("pgrep -f '[s]upervise-daemon'").stdout


def test_a_systemd_that_is_asked_for_is_refused(host: Host, workshop: Path) -> None:
    refused = run(host, workshop, "provision", "--service", "systemd")
    assert refused.code == 3
    assert "systemd does not run here" in refused.host["error"]["message"]
    assert host.run("ls /etc/binfmt.d /opt /usr/local/lib", check=False).stdout.count("buildkit") == 0
