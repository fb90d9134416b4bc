"""Messages about registries: of pulls, pushes and cache exports.

Texts: containerd's remotes/docker (resolver, pusher, authorizer), Go's net/http and crypto/x509, and
docker-credential-helpers, as buildctl brings them.
"""

from __future__ import annotations

from typing import Final

from provision import paths
from provision.buildkit.failures.meaning import Meaning, Words, means
from provision.fix import PROVISION, Fix, ToolCommand

_HOST = r"(?P<host>[A-Za-z0-9.-]+(?::[0-9]+)?|\[[0-9a-fA-F:]+\](?::[0-9]+)?)"
_ASKED = rf'(?:Get|Head|Post|Put|Patch) "?https?://{_HOST}/[^\n]*?'
"""How Go's client begins what it says of a request."""
_REFERENCE = rf"(?:failed to (?:push|resolve source metadata for|copy)|pushing|pulling) {_HOST}/[^\n]*?"


def _login(words: Words) -> Fix:
    return Fix.by(ToolCommand(task="login", arguments=(words["host"],)), words="as the user who builds")


def _section(key: str) -> Fix:
    return Fix.by(PROVISION, words=f'first set {key} for it under [registry."HOST:PORT"]')


_CLOCK: Final = Fix(words="compare the clocks; have the certificate renewed if they are right")
_PROXY: Final = Fix(
    words=f"set HTTPS_PROXY and NO_PROXY in {paths.ENVIRONMENT} if this network needs them,"
    " then restart buildkitd"
)

MEANINGS: Final[tuple[Meaning, ...]] = (
    means(
        r'exec: "(?P<program>docker-credential-[\w.-]+)": executable file not found',
        "Docker's config.json names the credential helper {program}, which is not installed",
        Fix(words="install it, or take credsStore and credHelpers out of config.json and log in again"),
    ),
    means(
        rf"{_REFERENCE}(?:no basic auth credentials|401 Unauthorized|authorization failed|access denied)",
        "{host} wants a login, or refuses the one that the user who builds has",
        _login,
    ),
    means(
        rf"{_ASKED}(?:no basic auth credentials|401 Unauthorized)",
        "{host} wants a login, or refuses the one that the user who builds has",
        _login,
    ),
    means(
        r"(?:no basic auth credentials|insufficient_scope: authorization failed|pull access denied"
        r"|requested access to the resource is denied|failed to (?:fetch oauth token|authorize)"
        r"|unexpected status[^\n]*401 Unauthorized)",
        "the registry wants a login, or refuses the one that the user who builds has, or there is no such image",
        Fix(words="log in to it as the user who builds: `login REGISTRY`; look at the image's name"),
    ),
    means(
        r"unexpected status[^\n]*403 Forbidden",
        "the registry knows the login and does not let it do this",
        Fix(words="give that user, or its token, the right to push to this repository"),
    ),
    means(
        r"(?i)429 Too Many Requests|toomanyrequests",
        "the registry limits how much one address or user may pull",
        Fix(words='log in to it, or name a mirror for it under [registry."docker.io"]'),
    ),
    means(
        r"unexpected status[^\n]*413 Request Entity Too Large",
        "a proxy before the registry refuses layers of this size",
        Fix(words="raise its limit (nginx: client_max_body_size 0)"),
    ),
    means(
        r"unexpected status[^\n]*50[0-9] ",
        "the registry, or a proxy before it, has failed",
        Fix(words="try again; if it stays, look at the registry's own log and room"),
    ),
    means(
        r"server gave HTTP response to HTTPS client",
        "the registry speaks plain http, and buildkitd asks by https",
        _section("http = true"),
    ),
    means(
        rf"{_ASKED}certificate signed by unknown authority",
        "buildkitd does not trust the certificate of {host}: its authority is unknown on that machine",
        _section("ca = [FILE]"),
    ),
    means(
        rf"{_ASKED}certificate has expired or is not yet valid",
        "the certificate of {host} is out of date, or a clock is wrong",
        _CLOCK,
    ),
    means(
        rf"{_ASKED}certificate is (?:valid for|not valid for)",
        "the certificate of {host} was made for another name",
        Fix(words="name the registry as its certificate does"),
    ),
    means(
        rf"{_ASKED}(?:no such host|Temporary failure in name resolution|server misbehaving)",
        "buildkitd cannot resolve the name {host}",
        Fix(words=f"look at the name, and at {paths.RESOLVER} of the machine that builds"),
    ),
    means(
        rf"{_ASKED}(?:connect: connection refused|connect: no route to host|network is unreachable)",
        "nothing can be reached at {host} from the machine that builds",
        _PROXY,
    ),
    means(
        rf"{_ASKED}(?:i/o timeout|TLS handshake timeout|context deadline exceeded|Client\.Timeout exceeded)",
        "{host} did not answer the machine that builds in time",
        _PROXY,
    ),
    means(
        r"proxyconnect tcp: [^\n]*",
        "the proxy of buildkitd's environment does not answer",
        Fix(words=f"correct HTTPS_PROXY in {paths.ENVIRONMENT}, then restart buildkitd"),
    ),
    means(
        r"(?:no match for platform in manifest|no matching manifest for [\w/]+)",
        "the image that the build starts from does not exist for this platform",
        Fix(words="take another base image, or leave the platform out of the build"),
    ),
    means(
        r"failed to resolve source metadata for (?P<image>[^\s:]+(?::[\w.-]+)?)[^\n]*: not found",
        "there is no image {image}",
        Fix(words="look at its name and tag in FROM"),
    ),
)
"""The first that fits counts."""
