"""Every keyword that `ssh -G` prints, and what it means here: a table, from which docs/openssh.md is made. Pure.

Whoever works with `ssh HOST` works with this tool, or is told which setting is not supported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Values = Mapping[str, tuple[str, ...]]
"""What `ssh -G` prints, by lower-case keyword."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A setting that is not supported where it has another value than these."""

    harmless: tuple[str, ...]
    words: str
    """What to tell, behind the keyword and its value."""
    at_once: bool = False
    """Before anything is contacted; else when no key was accepted, as another way in may do."""


FOLLOWED: Final[Mapping[str, str]] = {
    "Host": "the name that is looked up",
    "HostName": "the address",
    "Port": "as `ssh`; a port typed or in `[hosts]` comes first",
    "User": "as `ssh`; before `user` of `[ssh]`",
    "AddressFamily": "`inet` or `inet6` alone",
    "BindAddress": "the address that connections come from",
    "BindInterface": "connections come from its address; on Linux",
    "ConnectionAttempts": "as `ssh`; besides, a server that is too busy is tried again, five times in all",
    "ConnectTimeout": "unless `connect_timeout` is given",
    "ProxyJump": "by `ssh -W`, each jump host with its own settings; a shared connection to it is used",
    "ProxyCommand": "as `ssh`",
    "ProxyUseFdpass": "as `ssh`",
    "IdentityFile": "with its tokens and variables",
    "CertificateFile": "likewise",
    "IdentityAgent": "as `ssh`",
    "IdentitiesOnly": "as `ssh`",
    "UserKnownHostsFile": "unless `known_hosts` of `[ssh]` is given; a new key goes to the first",
    "GlobalKnownHostsFile": "likewise, read only",
    "HostKeyAlias": "as `ssh`",
    "HashKnownHosts": "for keys that are added",
    "RevokedHostKeys": "as `ssh`: also a file that cannot be read refuses every key",
    "StrictHostKeyChecking": "`accept-new`, `no` and `off` add unknown keys; a changed key is refused all the same",
    "KnownHostsCommand": "`ssh` is asked whether it knows the host, with one more connection",
    "VerifyHostKeyDNS": "`yes`: likewise",
    "RequiredRSASize": "for host keys",
    "Ciphers": "those that Paramiko has, in this order",
    "MACs": "likewise",
    "KexAlgorithms": "likewise",
    "HostKeyAlgorithms": "likewise; certificates by way of `ssh`",
    "PubkeyAcceptedAlgorithms": "likewise",
    "CASignatureAlgorithms": "by `ssh`, which checks the certificates of hosts",
    "CanonicalizeHostname": "by `ssh -G`",
    "CanonicalDomains": "by `ssh -G`",
    "CanonicalizeFallbackLocal": "by `ssh -G`",
    "CanonicalizeMaxDots": "by `ssh -G`",
    "CanonicalizePermittedCNAMEs": "by `ssh -G`",
    "Tag": "by `ssh -G`, for `Match tagged`",
}

_FORWARDED: Final = "nothing is forwarded"
_TERMINAL: Final = "no terminal is used"
_ONE: Final = "every host has one connection of its own"
_GSSAPI: Final = "see GSSAPIAuthentication"
_PROGRAM: Final = "the program that runs there is this tool's"

IRRELEVANT: Final[Mapping[str, str]] = {
    "AddKeysToAgent": "no key is put anywhere",
    "BatchMode": "SSH itself never asks anything here",
    "ChannelTimeout": "every wait has an end of its own",
    "CheckHostIP": "the name alone is checked, as is OpenSSH's default",
    "ClearAllForwardings": _FORWARDED,
    "Compression": "an option for speed; what is sent is compressed already",
    "ControlMaster": _ONE,
    "ControlPath": f"{_ONE}; where no key was accepted, one of `ssh` that is open is named",
    "ControlPersist": _ONE,
    "DynamicForward": _FORWARDED,
    "EnableEscapeCommandline": _TERMINAL,
    "EnableSSHKeysign": "see HostbasedAuthentication",
    "EscapeChar": _TERMINAL,
    "ExitOnForwardFailure": _FORWARDED,
    "FingerprintHash": "fingerprints are SHA256",
    "ForkAfterAuthentication": _PROGRAM,
    "ForwardAgent": _FORWARDED,
    "ForwardX11": _FORWARDED,
    "ForwardX11Timeout": _FORWARDED,
    "ForwardX11Trusted": _FORWARDED,
    "GatewayPorts": _FORWARDED,
    "GSSAPIClientIdentity": _GSSAPI,
    "GSSAPIDelegateCredentials": _GSSAPI,
    "GSSAPIKexAlgorithms": _GSSAPI,
    "GSSAPIKeyExchange": _GSSAPI,
    "GSSAPIRenewalForcesRekey": _GSSAPI,
    "GSSAPIServerIdentity": _GSSAPI,
    "GSSAPITrustDNS": _GSSAPI,
    "HostbasedAcceptedAlgorithms": "see HostbasedAuthentication",
    "IgnoreUnknown": "by `ssh -G`",
    "Include": "by `ssh -G`",
    "IPQoS": "an option for speed",
    "KbdInteractiveDevices": "see KbdInteractiveAuthentication",
    "LocalCommand": _PROGRAM,
    "LocalForward": _FORWARDED,
    "LogLevel": "this tool has its own messages",
    "LogVerbose": "this tool has its own messages",
    "NoHostAuthenticationForLocalhost": "keys of this machine are checked as well; --accept-new-host-keys adds them",
    "NumberOfPasswordPrompts": "SSH itself never asks anything here",
    "ObscureKeystrokeTiming": _TERMINAL,
    "PermitLocalCommand": _PROGRAM,
    "PermitRemoteOpen": _FORWARDED,
    "PreferredAuthentications": "by key; see the rows of the other methods",
    "RekeyLimit": "Paramiko's own limits hold",
    "RemoteCommand": _PROGRAM,
    "RemoteForward": _FORWARDED,
    "RequestTTY": _TERMINAL,
    "SecurityKeyProvider": "keys on a token are used through an agent",
    "SendEnv": "scripts have an environment of their own",
    "ServerAliveCountMax": "after `keepalive` of `[ssh]`, three times without an answer, the peer is taken for dead",
    "ServerAliveInterval": "likewise",
    "SessionType": _PROGRAM,
    "SetEnv": "scripts have an environment of their own",
    "StdinNull": _PROGRAM,
    "StreamLocalBindMask": _FORWARDED,
    "StreamLocalBindUnlink": _FORWARDED,
    "SyslogFacility": "this tool has its own messages",
    "TCPKeepAlive": "keepalives of SSH are sent, see ServerAliveInterval",
    "Tunnel": _FORWARDED,
    "TunnelDevice": _FORWARDED,
    "UpdateHostKeys": "only the key that a host shows is added",
    "VersionAddendum": "sshd's log names this tool",
    "VisualHostKey": _TERMINAL,
    "WarnWeakCrypto": "this tool has its own messages",
    "XAuthLocation": _FORWARDED,
}

REFUSED: Final[Mapping[str, Refused]] = {
    "PubkeyAuthentication": Refused(
        harmless=("true", "yes", "unbound", "host-bound"),
        words="logins are by key only",
        at_once=True,
    ),
    "RefuseConnection": Refused(harmless=("none",), words="the configuration forbids it", at_once=True),
    "GSSAPIAuthentication": Refused(harmless=("no",), words="Kerberos is not supported, only keys"),
    "HostbasedAuthentication": Refused(harmless=("no", "false"), words="not supported, only keys"),
    "KbdInteractiveAuthentication": Refused(harmless=("no", "false"), words="not supported, only keys"),
    "PasswordAuthentication": Refused(harmless=("no", "false"), words="not supported, only keys"),
    "PKCS11Provider": Refused(harmless=("none",), words="put its keys into an agent (ssh-add -s LIBRARY)"),
}

_METHODS: Final[Mapping[str, str]] = {
    "GSSAPIAuthentication": "gssapi-with-mic",
    "HostbasedAuthentication": "hostbased",
    "KbdInteractiveAuthentication": "keyboard-interactive",
    "PasswordAuthentication": "password",
}
"""By which method a server offers what a keyword allows."""


def refused(values: Values, *, at_once: bool) -> Iterator[tuple[str, str]]:
    """Settings that are not supported, each as the keyword with its value, and words."""
    for keyword, row in REFUSED.items():
        for value in values.get(keyword.lower(), ())[:1]:
            if row.at_once == at_once and value.lower() not in row.harmless:
                yield f"{keyword} {value}", row.words


def unsupported_methods(methods: Sequence[str], settings: Mapping[str, str]) -> list[str]:
    """What to tell of a login that failed: settings by which `ssh` might have got in, by the server's methods."""
    told = []
    for setting, words in settings.items():
        method = _METHODS.get(setting.split()[0])
        if method is None or method in methods:
            told.append(f"{setting}: {words}")
    return told


def known(keyword: str) -> bool:
    """Whether a keyword, in any spelling, has its row."""
    return keyword.lower() in {row.lower() for row in (*FOLLOWED, *IRRELEVANT, *REFUSED)}


def table() -> str:
    """The rows of docs/openssh.md."""
    rows = [
        *((keyword, "followed", words) for keyword, words in FOLLOWED.items()),
        *((keyword, "irrelevant", words) for keyword, words in IRRELEVANT.items()),
        *(
            (
                keyword,
                "refused",
                row.words if row.at_once else f"told where no key was accepted: {row.words}",
            )
            for keyword, row in REFUSED.items()
        ),
    ]
    rows.sort(key=lambda row: row[0].lower())
    return "".join(f"| `{keyword}` | {what} | {words} |\n" for keyword, what, words in rows)
