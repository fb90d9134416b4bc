"""Programs that others wrote around a registry, compiled from their Go modules: a token service, a keeper of logins."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization

from tests.lab.authority import Certificate
from tests.lab.cache import Cache, fingerprint
from tests.lab.nspawn import free_port
from tests.lab.patience import until

FOLDER: Final = Path(__file__).parent
PACKAGES: Final = {
    "token-server": "github.com/docker/distribution/contrib/token-server",
    "docker-credential-pass": "github.com/docker/docker-credential-helpers/pass/cmd",
}
ISSUER: Final = "lab"


def peers() -> Path:
    """The folder of the programs. A Go on PATH compiles them."""

    def build(target: Path) -> None:
        environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "auto"}
        for name, package in PACKAGES.items():
            command = ["go", "build", "-trimpath", "-o", str(target / name), package]
            subprocess.run(command, cwd=FOLDER, env=environment, check=True, capture_output=True)

    return Cache.default().get("peers", fingerprint(FOLDER / "go.mod", FOLDER / "go.sum"), build)


@contextmanager
def token_server(htpasswd: Path, certificate: Certificate) -> Iterator[str]:
    """The registry project's own token service, for the users of the file. Gives its address.

    A registry that trusts `certificate` takes its tokens.
    """
    key = htpasswd.with_name("token-key.pem")
    key.write_bytes(_as_libtrust_reads_it(certificate.key))
    port = free_port()
    address = f"127.0.0.1:{port}"
    words = {"addr": address, "issuer": ISSUER, "realm": "lab", "passwd": htpasswd, "key": key}
    command = [str(peers() / "token-server"), *(f"-{name}={value}" for name, value in words.items())]
    with htpasswd.with_name("token-log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        assert until(lambda: _listens(port), 20), Path(log.name).read_text()
        yield f"http://{address}/token/"
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _as_libtrust_reads_it(key: Path) -> bytes:
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


@contextmanager
def password_store(home: Path) -> Iterator[dict[str, str]]:
    """`pass` with a key of its own, for a person of this home. Gives the variables of that person."""
    # gpg-agent's socket is in there, whose path may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="gpg-") as keys:
        variables = {
            "HOME": str(home),
            "GNUPGHOME": keys,
            "PASSWORD_STORE_DIR": str(home / ".password-store"),
            "PATH": f"{peers()}:{os.environ['PATH']}",
        }

        def run(*command: str) -> None:
            subprocess.run(command, env={**os.environ, **variables}, check=True, capture_output=True)

        try:
            run(
                "gpg",
                "--batch",
                "--passphrase",
                "",
                "--quick-gen-key",
                "lab",
                "future-default",
                "default",
                "never",
            )
            run("pass", "init", "lab")
            yield variables
        finally:
            run("gpgconf", "--kill", "gpg-agent")
