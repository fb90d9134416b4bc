"""The lab itself works: bare hosts, a real BuildKit, emulation by hand, a registry.

Nothing of the product is used. What fails here is the lab or this machine; what passes here and fails
elsewhere is the product.
"""

from __future__ import annotations

import json
import logging
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import IncompleteRead
from pathlib import Path

import pytest

from tests.lab import rootfs
from tests.lab.busybox import busybox
from tests.lab.mirror import Faults, Mirror
from tests.lab.nspawn import BINFMT, Host, machine_table
from tests.lab.programs import hello
from tests.lab.registry import Registry
from tests.lab.release import EARLIER, VERSION, Release, digest, publish

LOG = logging.getLogger(__name__)
MOUNT = f"mount -t binfmt_misc binfmt_misc {BINFMT}"
REGISTER = f"echo ':lab:E::lab-extension::/bin/true:' > {BINFMT}/register"
APT = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends"
DOCKERFILE = """\
FROM scratch
ARG TARGETARCH
COPY busybox-$TARGETARCH /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox uname -m > /machine"]
"""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Log the seconds a part of the test took: pytest shows them with `--log-cli-level=INFO`."""
    start = time.monotonic()
    yield
    LOG.info("%s: %.1f s", name, time.monotonic() - start)


def test_host_is_bare(host: Host) -> None:
    assert host.run("systemctl is-system-running").stdout.strip() == "running"
    found = host.run("command -v python3 perl5 curl wget qemu-aarch64-static buildkitd runc", check=False)
    assert found.stdout == ""
    assert host.run("hostname").stdout.strip() == host.name


def test_users_become_root_each_in_its_way(host: Host) -> None:
    assert host.run("sudo -n id -u", user="ops").stdout == "0\n"
    assert host.run("sudo -n id -u", user="pw", check=False).returncode == 1
    assert host.run("sudo -S -p '' id -u", user="pw", stdin=f"{rootfs.PASSWORD}\n").stdout == "0\n"
    refused = host.run("sudo -S -p '' id -u", user="ci", stdin=f"{rootfs.PASSWORD}\n", check=False)
    assert refused.returncode == 1


def test_host_has_handlers_of_its_own(host: Host) -> None:
    before = machine_table()
    assert host.run(f"ls {BINFMT}").stdout == ""
    host.run(MOUNT)
    assert host.run(f"ls {BINFMT}").stdout.split() == ["register", "status"]
    host.run(REGISTER)
    assert host.run(f"ls {BINFMT}").stdout.split() == ["lab", "register", "status"]
    assert machine_table() == before
    assert "lab" not in before


def test_reboot_loses_what_is_not_persistent(host: Host) -> None:
    host.run(f"{MOUNT} && {REGISTER} && touch /run/marker /root/kept")
    host.run("systemctl enable proc-sys-fs-binfmt_misc.mount")
    first = host.leader
    host.reboot()
    assert host.leader != first
    assert host.run("ls /run/marker", check=False).returncode == 2
    assert host.run("ls /root/kept").returncode == 0
    assert host.run(f"ls {BINFMT}").stdout.split() == ["register", "status"]


def test_several_hosts_at_once(boot: Callable[[str], Host]) -> None:
    one, two = boot("one"), boot("two")
    one.run(MOUNT)
    assert (one.run("hostname").stdout, two.run("hostname").stdout) == ("one\n", "two\n")
    assert two.run(f"ls {BINFMT}").stdout == ""


def test_release_is_laid_out_like_upstreams(release: Release, tmp_path: Path) -> None:
    with tarfile.open(release.path) as archive:
        assert archive.getnames() == ["bin/buildctl", "bin/buildkit-runc", "bin/buildkitd"]
    assert release.path == release.mirror / VERSION / f"buildkit-{VERSION}.{release.platform}.tar.gz"
    subject = json.loads(release.provenance.read_text())["subject"][0]
    assert subject == {"name": release.asset, "digest": {"sha256": digest(release.path)}}
    assert publish(tmp_path / "again").sha256 == release.sha256
    assert publish(tmp_path / "again", version=EARLIER).sha256 != release.sha256


def test_mirror_misbehaves_as_told(tmp_path: Path) -> None:
    content = bytes(range(250))
    (tmp_path / "file").write_bytes(content)
    with Mirror(tmp_path, latest=VERSION) as mirror:
        url = f"{mirror.url}/file"
        mirror.faults.cut_after = 100
        with pytest.raises(IncompleteRead) as cut:
            fetch(url)
        resumed = fetch(url, {"Range": "bytes=100-"})
        assert cut.value.partial + resumed == content
        assert [(one.range, one.sent) for one in mirror.requests] == [(None, 100), ("bytes=100-", 150)]
        mirror.faults = Faults(truncate=10)
        assert fetch(url) == content[:10]
        mirror.faults = Faults(corrupt=True)
        assert sum(a != b for a, b in zip(fetch(url), content, strict=True)) == 1
        mirror.faults = Faults(ranges=False)
        assert fetch(url, {"Range": "bytes=100-"}) == content
        mirror.faults = Faults(missing={"file"})
        assert status(url) == 404
        assert status(f"{mirror.url}/../passwd") == 404
        assert mirror.count("file") == 6


def fetch(url: str, headers: dict[str, str] | None = None) -> bytes:
    request = urllib.request.Request(url, headers=headers or {})  # noqa: S310 - the lab's own mirror
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        content: bytes = answer.read()
        return content


def status(url: str) -> int:
    try:
        fetch(url)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def test_emulated_build_by_hand(
    host: Host,
    release: Release,
    registry: Registry,
) -> None:
    with stage("qemu"):
        host.run(f"apt-get -q update && {APT} install qemu-user-static")
        # The distribution's own rule, given to the kernel by hand; it has the flag F.
        host.run(f"{MOUNT} && cat /usr/lib/binfmt.d/qemu-aarch64.conf > {BINFMT}/register")
    host.put(hello("arm64"), "/usr/local/bin/hello")
    assert host.run("hello").stdout == "linux/arm64 aarch64\n"
    with stage("buildkit"):
        start_buildkit(host, release)
    workers = json.loads(host.run("buildctl debug workers --format '{{json .}}'", user="ci").stdout)
    assert {"amd64", "arm64"} <= {one["architecture"] for one in workers[0]["platforms"]}
    with stage("build"):
        build(host, f"{registry.address}/lab:hand")
    assert registry.platforms("lab:hand") == ["linux/amd64", "linux/arm64"]
    assert registry.files("lab:hand", "linux/amd64")["machine"] == b"x86_64\n"
    assert registry.files("lab:hand", "linux/arm64")["machine"] == b"aarch64\n"


def start_buildkit(host: Host, release: Release) -> None:
    host.put(release.path, "/root/buildkit.tar.gz")
    host.run("tar -C /usr/local -xzf /root/buildkit.tar.gz && groupadd buildkit && usermod -aG buildkit ci")
    assert VERSION in host.run("buildkitd --version").stdout
    # Type=notify: it returns when the workers exist.
    unit = "--unit=buildkit --property=Type=notify --property=Delegate=yes"
    host.run(f"systemd-run {unit} buildkitd --group buildkit")


def build(host: Host, image: str) -> None:
    """As a user in the group, with a pipeline's command."""
    sources = "--local context=. --local dockerfile=."
    host.run("mkdir context", user="ci")
    host.run("cat > context/Dockerfile", user="ci", stdin=DOCKERFILE)
    for architecture in ("amd64", "arm64"):
        host.put(busybox(architecture), f"/home/ci/context/busybox-{architecture}")
    host.run(
        f"cd context && buildctl build --progress=plain --frontend=dockerfile.v0 {sources} "
        f"--opt platform=linux/amd64,linux/arm64 --output type=image,name={image},push=true",
        user="ci",
    )
