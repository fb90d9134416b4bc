"""A token service as registries use (distribution, docs/spec/auth): tokens for users, and for identity tokens."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.lab.authority import Certificate

ISSUER: Final = "lab issuer"
SERVICE: Final = "lab registry"


def _coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    """`with TokenServer(…) as server:` gives tokens at `server.realm`; `server.asked` lists who asked, and how."""

    def __init__(
        self,
        certificate: Certificate,
        *,
        users: Mapping[str, str] | None = None,
        identity_tokens: Mapping[str, str] | None = None,
        public: bool = False,
        seconds: int = 300,
    ) -> None:
        self.users = users or {}
        self.identity_tokens = identity_tokens or {}
        """Tokens with the users that they stand for."""
        self.public = public
        self.seconds = seconds
        self.asked: list[str] = []
        self._pem = certificate.certificate.read_bytes()
        key = serialization.load_pem_private_key(certificate.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/token"

    def settings(self, root: Path) -> dict[str, Any]:
        """The registry's `auth` section; `root` is the authority of the certificate."""
        return {
            "token": {
                "realm": self.realm,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(root),
            }
        }

    def token(self, user: str, scopes: list[str]) -> str:
        """A JSON web token that lets the user do what is in the scopes."""
        der = x509.load_pem_x509_certificate(self._pem).public_bytes(serialization.Encoding.DER)
        now = int(time.time())
        parts = [scope.split(":") for scope in scopes]
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")} for kind, name, actions in parts
        ]
        head = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        body = {
            "iss": ISSUER,
            "sub": user,
            "aud": SERVICE,
            "iat": now,
            "nbf": now - 10,
            "exp": now + self.seconds,
            "jti": str(now),
            "access": access,
        }
        signed = ".".join(_coded(json.dumps(part).encode()) for part in (head, body))
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_coded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _who(self, authorization: str) -> str | None:
        """The user; empty for nobody, None for somebody with a wrong password."""
        if not authorization:
            return ""
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return user if self.users.get(user) == password else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        tokens = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                user = tokens._who(self.headers.get("Authorization", ""))
                tokens.asked.append(f"GET {user}")
                if user is None or (not user and not tokens.public):
                    return self._answer(401, {"errors": [{"code": "UNAUTHORIZED"}]})
                return self._give(user, query)

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                user = tokens.identity_tokens.get(form.get("refresh_token", [""])[0])
                tokens.asked.append(f"POST {user}")
                if user is None or form.get("grant_type") != ["refresh_token"]:
                    return self._answer(401, {"errors": [{"code": "UNAUTHORIZED"}]})
                return self._give(user, form)

            def _give(self, user: str, about: Mapping[str, list[str]]) -> None:
                assert about["service"] == [SERVICE]
                scopes = [word for each in about.get("scope", []) for word in each.split(" ")]
                self._answer(200, {"access_token": tokens.token(user, scopes), "expires_in": tokens.seconds})

            def _answer(self, status: int, values: object) -> None:
                data = json.dumps(values).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def __enter__(self) -> TokenServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
