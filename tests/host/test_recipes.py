"""What `export` writes: GitHub's own linter takes it, and the shell lines of each recipe do on a host what they say.

The recipes share one host, which is bare when the first begins. They run in the order of this file.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from provision.recipes.configuration import written
from provision.recipes.formats import Wanted, recipe
from provision.spec import Buildkit, Registry, Spec
from tests.lab import checkout, registries
from tests.lab.actionlint import actionlint
from tests.lab.cli import Outcome, provision
from tests.lab.guarded import PASSWORD, USER, Guarded, context, guarded
from tests.lab.mirror import Mirror
from tests.lab.nspawn import Copy, Host
from tests.lab.recipes import Script, scripts
from tests.lab.release import Release, publish
from tests.unit.recipes.test_recipes import made

AUTHORITY: Final = "/usr/local/share/lab-authority.pem"
PLATFORMS: Final = ("linux/amd64", "linux/arm64")
SLOW: Final = 1200
WHO: Final = {"github-steps": "ops", "travis": "ops", "woodpecker": "root", "gitlab": "root"}
"""GitHub's and Travis's machines have a user with sudo; the others run a container as root."""
FAULT: Final = "what COPY or ADD names is not in the context: /hello-arm64"
IDENTITY: Final = (
    "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub;"
    " buildctl debug workers --format '{{(index . 0).ID}}'"
)


@pytest.mark.parametrize("image", ["", "registry.example/app:1.0"], ids=["own registry", "another"])
def test_githubs_linter(image: str, tmp_path: Path) -> None:
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    (folder / "image.yml").write_text(made("github", image=image))
    # With shellcheck on PATH it judges the scripts, too.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [str(actionlint()), str(folder / "image.yml")],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A host, a registry with a password that is TLS's own authority's, and from where tool and BuildKit come."""

    host: Host
    registry: Guarded
    release: Release
    mirror: Mirror
    wheel: Path

    def wanted(self, image: str = "") -> Wanted:
        buildkit = Buildkit(
            version=self.release.version,
            mirror=self.mirror.url,
            sha256={self.release.platform: self.release.sha256},
            registries={self.registry.address: Registry(ca=(AUTHORITY,))},
        )
        return Wanted(
            spec=Spec(platforms=PLATFORMS, buildkit=buildkit),
            tool=f"/usr/local/share/{self.wheel.name}",
            image=f"{self.registry.address}/{image}" if image else "",
        )

    def run(self, script: Script, user: str, **more: str) -> subprocess.CompletedProcess[str]:
        """As the CI system does: in the checkout, with the file's variables and the secrets in the environment."""
        secrets = {"REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD}
        given = {**registries.environment(), **script.variables, **secrets, **more}
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in given.items())
        text = f"cd ~/context\n{exports}{script.text}"
        return self.host.run(f"bash -e -c {shlex.quote(text)}", user=user, check=False, timeout=SLOW)

    def job(self, name: str, user: str, image: str) -> tuple[bool, str]:
        """The whole job as its CI system runs it: whether it succeeded, and what it printed."""
        failed, output = False, ""
        for script in scripts(name, recipe(name, self.wanted(image))):
            if script.when == "always" or (script.when == "failure") == failed:
                done = self.run(script, user, CI_JOB_STATUS="failed" if failed else "success")
                output += done.stdout + done.stderr
                failed |= done.returncode != 0
        return not failed, output


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    release = publish(tmp_path_factory.mktemp("mirror"))
    with ExitStack() as stack:
        made = Lab(
            host=stack.enter_context(Host("recipes")),
            registry=stack.enter_context(guarded(tmp_path_factory.mktemp("registry"))),
            release=release,
            mirror=stack.enter_context(Mirror(release.mirror, latest=release.version)),
            wheel=wheel(tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("source")),
        )
        furnish(made)
        yield made


def wheel(target: Path, source: Path) -> Path:
    checkout.copy(source)
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = target.glob("*.whl")
    return found


def furnish(lab: Lab) -> None:
    """What a CI system brings along: the checkout, and how registries of packages are reached."""
    host = lab.host
    host.put(lab.wheel, f"/usr/local/share/{lab.wheel.name}")
    host.put(lab.registry.authority, AUTHORITY)
    for file in registries.files():
        host.run(f"mkdir -p {file.parent}")
        host.put(file, str(file))
    for home in host.run("echo ~root ~ops").stdout.split():
        host.run(f"mkdir {home}/context")
        for name, data in context().items():
            local = lab.registry.authority.with_name(name)
            local.write_bytes(data)
            local.chmod(0o755)
            host.put(local, f"{home}/context/{name}")
    host.run("chown -R ops:ops ~ops/context")


@pytest.mark.parametrize(("name", "user"), WHO.items(), ids=WHO)
def test_the_shell_lines_of_a_ci_system(lab: Lab, name: str, user: str) -> None:
    succeeded, output = lab.job(name, user, f"{name}:1.0")
    assert succeeded, output[-5000:]
    assert f"{lab.registry.address}/{name}:1.0 is sha256:" in output
    assert FAULT not in output
    # The failure branch: what COPY names is gone.
    lab.host.run("mv ~/context/hello-arm64 ~", user=user)
    succeeded, failure = lab.job(name, user, f"{name}:2.0")
    lab.host.run("mv ~/hello-arm64 ~/context", user=user)
    assert not succeeded
    assert FAULT in failure
    assert "is sha256:" not in failure
    assert PASSWORD not in output + failure


def test_the_script_of_a_first_boot(lab: Lab) -> None:
    lab.host.run("mv ~/context/.provision ~")  # where GitLab's last script left it for the cache
    (script,) = scripts("cloud-init", recipe("cloud-init", lab.wanted()))
    done = lab.run(script, "root")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing to change" in done.stdout


def test_an_image_is_right_at_the_first_boot_of_each_copy(lab: Lab, tmp_path: Path) -> None:
    """The last one: the machine is powered off afterwards."""
    host = lab.host
    seen = [host.run(IDENTITY).stdout.splitlines()]
    (script,) = scripts("shell", recipe("shell", lab.wanted()))
    done = lab.run(script, "root")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "the image is ready" in done.stdout
    host.power_off()
    for _ in range(2):
        with Copy(host) as copy:
            seen.append(copy.run(IDENTITY).stdout.splitlines())
            health = report(lab, copy, tmp_path, "health")
            assert health.host["findings"] == [], health
            assert {*PLATFORMS} <= {
                row["platform"]
                for row in report(lab, copy, tmp_path, "platforms", "--deep").host["platforms"]
                if row["builds"]
            }
    # Machine-id, host key, the daemon's worker: three machines, nothing in common.
    assert [len(each) for each in seen] == [3, 3, 3]
    assert len({line for each in seen for line in each}) == 9
    assert all(len(each[0]) == 32 for each in seen)


def report(lab: Lab, host: Host, folder: Path, *words: str) -> Outcome:
    """What the tool says of a host, from this machine."""
    ssh = f'[ssh]\nconfig = "{host.folder / "ssh_config"}"\n'
    (folder / "provision.toml").write_text(written(lab.wanted().spec) + ssh)
    return provision(*words, "--hosts", host.name, "--format", "json", cwd=folder)
