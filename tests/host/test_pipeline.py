"""The pipeline of the README, typed as it stands on a bare host, against a registry with a password and its own TLS."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.lab import checkout, registries
from tests.lab.guarded import PASSWORD, USER, Guarded, guarded
from tests.lab.mirror import Mirror
from tests.lab.nspawn import Host
from tests.lab.programs import hello
from tests.lab.release import Release

WHO: Final = "ops"
HOME: Final = f"/home/{WHO}/checkout"
SLOW: Final = 1200
DOCKERFILE: Final = """\
FROM scratch
ARG TARGETARCH TARGETVARIANT
COPY hello-$TARGETARCH$TARGETVARIANT /bin/hello
RUN ["/bin/hello"]
ENTRYPOINT ["/bin/hello"]
"""
PROGRAMS: Final = {"amd64": ("amd64", ""), "arm64": ("arm64", ""), "armv7": ("arm", "7")}


def typed() -> list[str]:
    """The lines behind `$ ` of the README's first two examples."""
    text = (checkout.ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)[:2]
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "registry") as made:
        yield made


def furnish(host: Host, mirror: Mirror, release: Release, registry: Guarded) -> None:
    """The checkout, a Dockerfile with its programs, and what a closed network has to be told."""
    archive = registry.authority.with_name("checkout.tar")
    archive.write_bytes(checkout.archive())
    host.put(archive, "/tmp/checkout.tar")
    host.run(f"mkdir {HOME} && tar -x -f /tmp/checkout.tar -C {HOME}", user=WHO)
    for file in registries.files():
        host.run(f"mkdir -p {file.parent}")
        host.put(file, str(file))
    host.put(registry.authority, "/usr/local/share/authority.pem")
    for name, (goarch, variant) in PROGRAMS.items():
        host.put(hello(goarch, variant=variant), f"{HOME}/hello-{name}")
    settings = (
        f'[buildkit]\nmirror = "{mirror.url}"\nsha256 = {{ "{release.platform}" = "{release.sha256}" }}\n'
        f'[registry."{registry.address}"]\nca = ["/usr/local/share/authority.pem"]\n'
    )
    for path, text in (("provision.toml", settings), ("Dockerfile", DOCKERFILE), ("password", PASSWORD)):
        host.run(f"cat >{HOME}/{path}", user=WHO, stdin=text)
    host.run(f"chown -R {WHO}:{WHO} {HOME}; chmod 755 {HOME}/hello-*")


def test_it_is_typed_as_it_stands(host: Host, mirror: Mirror, release: Release, registry: Guarded) -> None:
    furnish(host, mirror, release, registry)
    exports = "".join(
        f"export {name}={shlex.quote(value)}; " for name, value in registries.environment().items()
    )

    def enter(line: str, *, check: bool = True) -> str:
        """In a session of its own, as a group counts from the next login on."""
        line = line.replace("registry.example", registry.address).replace("ci ", f"{USER} ")
        done = host.run(f"{exports}cd {HOME} && {line}", user=WHO, check=check, timeout=SLOW)
        assert PASSWORD not in done.stdout + done.stderr
        return f"{done.returncode}\n{done.stdout}{done.stderr}"

    provision, login, build, verify, logs = typed()
    assert "start buildkit.service" in enter(provision)
    assert "buildkit" in host.run("id -nG", user=WHO).stdout.split()
    assert "log in to" in enter(login)
    enter(build)
    assert "as it should be: 3 platforms checked" in enter(verify)
    # The failure branch: the password is not the registry's any more.
    host.run(f"printf wrong >{HOME}/password", user=WHO)
    assert enter(login, check=False).startswith("3\n")
    enter(verify)
    host.run('sed -i \'s/"auth": *"[^"]*"/"auth": "Y2k6d3Jvbmc="/\' ~/.docker/config.json', user=WHO)
    failed = enter(build.replace("app:1.0", "app:2.0"), check=False)
    assert failed.startswith("1\n")
    assert "401 Unauthorized" in failed
    shown = enter(logs)
    assert shown.startswith("0\n")
    assert f"{registry.address} wants a login, or refuses the one" in shown
    assert f"./inv login {registry.address}" in shown
    assert "linux/arm/v7" in shown
