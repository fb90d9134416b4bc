"""Certificates in PEM: made, signed and read. Imports `cryptography`.

Keys are on the curve P-256, which every TLS implementation has. Names are in subjectAltName alone, as Go reads them
(crypto/x509), with the use that Go demands: serverAuth or clientAuth.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provision.certificates.life import Life
from provision.transport import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

_EARLY: Final = dt.timedelta(hours=1)
"""A host whose clock is a little behind takes a new certificate all the same."""
_NO_USE: Final = dict.fromkeys(
    (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ),
    False,
)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate and its key, in PEM."""

    certificate: str
    key: Secret


@dataclass(frozen=True, kw_only=True)
class Signer:
    """An authority's certificate and key, ready to sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate, which is public."""
        return _text(self.certificate)


def make_authority(name: str, now: float, days: float) -> Signer:
    """A new authority, which signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _begun(name, key.public_key(), now, days)
        .issuer_name(_name(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**{**_NO_USE, "key_cert_sign": True, "crl_sign": True}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Signer(certificate=builder.sign(key, hashes.SHA256()), key=key)


def issue(signer: Signer, name: str, now: float, days: float, *, names: Iterable[str] = ()) -> Issued:
    """A certificate for a server with these `names` (DNS names and addresses), or without any for a client."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _signed(signer, key.public_key(), name, now, days, tuple(names))
    return Issued(certificate=certificate, key=key_text(key))


def renew(signer: Signer, old: str, name: str, now: float, days: float, *, names: Iterable[str]) -> str:
    """A server's certificate for the key of an old one, whoever signed that. Raises ValueError for what is none."""
    public = _public_key(old)
    if public is None:
        raise ValueError("it is no certificate")
    return _signed(signer, public, name, now, days, tuple(names))


def _signed(
    signer: Signer,
    public: CertificatePublicKeyTypes,
    name: str,
    now: float,
    days: float,
    names: tuple[str, ...],
) -> str:
    use = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _begun(name, public, now, days)
        .issuer_name(signer.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**_NO_USE, "digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False
        )
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(list(map(_alternative, names))), critical=False
        )
    return _text(builder.sign(signer.key, hashes.SHA256()))


def key_text(key: ec.EllipticCurvePrivateKey, passphrase: Secret | None = None) -> Secret:
    """A key in PEM, encrypted if there is a passphrase."""
    encryption = (
        serialization.BestAvailableEncryption(passphrase.reveal().encode())
        if passphrase
        else serialization.NoEncryption()
    )
    data = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return Secret(data.decode("ascii"))


def load_signer(certificate: str, key: Secret, passphrase: Secret | None = None) -> Signer:
    """An authority from its PEM texts.

    Raises TypeError for a key that is encrypted where no passphrase is given, ValueError for anything else that is not
    right: another key, a wrong passphrase.
    """
    loaded = x509.load_pem_x509_certificate(certificate.encode())
    password = passphrase.reveal().encode() if passphrase else None
    try:
        private = serialization.load_pem_private_key(key.reveal().encode(), password)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or _public(private.public_key()) != _public(
        loaded.public_key()
    ):
        raise ValueError("the key is not that of the certificate")
    return Signer(certificate=loaded, key=private)


def is_readable(certificate: str) -> bool:
    """Whether a text is a certificate, with a key of a kind that is known here."""
    return _public_key(certificate) is not None


def is_pair(certificate: str, key: str) -> bool:
    """Whether a key, in PEM and not encrypted, is the one of a certificate."""
    public = _public_key(certificate)
    try:
        private = serialization.load_pem_private_key(key.encode(), None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False
    return public is not None and _public(private.public_key()) == _public(public)


def life_of(certificate: str) -> Life | None:
    """How long a certificate lives; None for what is no certificate."""
    loaded = _loaded(certificate)
    if loaded is None:
        return None
    begin, end = _times(loaded)
    return Life(begin=begin.timestamp(), end=end.timestamp())


def names_of(certificate: str) -> frozenset[str]:
    """The names and addresses that a server's certificate is for."""
    loaded = _loaded(certificate)
    if loaded is None:
        return frozenset()
    try:
        found = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(
        (*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress)))
    )


def is_signed_by(certificate: str, authority: str) -> bool:
    """Whether an authority has signed a certificate. Names alone prove nothing: a new authority has the old one's."""
    loaded, signer = _loaded(certificate), _loaded(authority)
    if loaded is None or signer is None:
        return False
    try:
        loaded.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def serial_of(certificate: str) -> int | None:
    """Its number; None for what is no certificate."""
    loaded = _loaded(certificate)
    return loaded.serial_number if loaded else None


def _begun(name: str, public: CertificatePublicKeyTypes, now: float, days: float) -> x509.CertificateBuilder:
    moment = dt.datetime.fromtimestamp(now, dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _EARLY)
        .not_valid_after(moment + dt.timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    # RFC 5280 allows 64 characters.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        return x509.DNSName(name)


def _loaded(text: str) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        return None


def _public_key(certificate: str) -> CertificatePublicKeyTypes | None:
    loaded = _loaded(certificate)
    try:
        return loaded.public_key() if loaded else None
    except (ValueError, UnsupportedAlgorithm):
        return None


def _times(loaded: x509.Certificate) -> tuple[dt.datetime, dt.datetime]:
    """Before version 42 of `cryptography` they came without a zone, in UTC."""
    if hasattr(loaded, "not_valid_after_utc"):
        return loaded.not_valid_before_utc, loaded.not_valid_after_utc
    begin, end = loaded.not_valid_before, loaded.not_valid_after
    return begin.replace(tzinfo=dt.timezone.utc), end.replace(tzinfo=dt.timezone.utc)


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _public(key: object) -> bytes:
    data: bytes = key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return data
