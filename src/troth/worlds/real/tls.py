"""TLS 1.3 between nodes that know each other's public keys, and trust nobody else.

There is no public certificate authority. Every node is its own: from the public keys it was given
it makes, in memory, one certificate for each peer, signed by itself, and trusts those. What it
shows to others is a certificate for its TLS key signed by its identity. So OpenSSL's own
verification (X.509 path validation, in both directions, before a byte of HTTP is read) accepts
exactly the pinned keys:

    own identity  --signs-->  peer's public key  --signs-->  what the peer shows
       (trusted)               (made from the pin)             (sent in the handshake)

The key that is shown is the identity itself, so its owner is whom the handshake has proven to be
there. A stranger shows nothing, and checks the pin with an authority that it makes up for that and
tells nobody. Dates say nothing here, pins do: certificates have fixed ones, which tell nobody's
clock.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from troth.crypto.identity import Identity, PublicId, parse_public_id, public_id
from troth.crypto.secret_file import pem_of

_DESCRIPTORS = Path("/proc/self/fd")
"""Where Linux shows the open files of a process, by their numbers, to itself."""

_BEGIN = datetime(2000, 1, 1, tzinfo=UTC)
_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280, 4.1.2.5: no well-defined end


def server_context(identity: Identity, peers: Iterable[PublicId]) -> ssl.SSLContext:
    """For a node that listens: whoever connects has to prove that it is one of `peers`."""
    return _context(ssl.PROTOCOL_TLS_SERVER, identity, peers)


def client_context(identity: Identity, server: PublicId) -> ssl.SSLContext:
    """For a node that connects: whoever answers has to prove that it is `server`."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, identity, (server,))


def open_server_context(identity: Identity) -> ssl.SSLContext:
    """For a node that serves strangers: it proves who it is and asks nobody else to."""
    context = _blank(ssl.PROTOCOL_TLS_SERVER)
    _load_own(context, identity)
    return context


def stranger_context(server: PublicId) -> ssl.SSLContext:
    """For somebody without a name: whoever answers has to prove that it is `server`."""
    context = _blank(ssl.PROTOCOL_TLS_CLIENT)
    _trust(context, Identity.create(), (server,))
    return context


def peer_public_id(tls: ssl.SSLObject | ssl.SSLSocket) -> PublicId | None:
    """Whose key the other side of a finished handshake has proven to hold."""
    certificate = tls.getpeercert(binary_form=True)
    if certificate is None:
        return None
    key = x509.load_der_x509_certificate(certificate).public_key()
    return public_id(key) if isinstance(key, Ed25519PublicKey) else None


def _context(side: ssl._SSLMethod, identity: Identity, peers: Iterable[PublicId]) -> ssl.SSLContext:
    context = _blank(side)
    _trust(context, identity, peers)
    _load_own(context, identity)
    return context


def _blank(side: ssl._SSLMethod) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Names and addresses prove nothing here; the pinned key does.
    context.check_hostname = False
    return context


def _trust(context: ssl.SSLContext, identity: Identity, peers: Iterable[PublicId]) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    trusted = [_authority(identity, identity.key.public_key())]
    for peer in peers:
        key = parse_public_id(peer)
        assert key is not None, "public ids are checked where they are read"
        trusted.append(_authority(identity, key))
    context.load_verify_locations(
        cadata=b"".join(certificate.public_bytes(Encoding.DER) for certificate in trusted)
    )


def _load_own(context: ssl.SSLContext, identity: Identity) -> None:
    # Python's ssl reads keys from files only (`SSLContext.load_cert_chain` takes a path). So the
    # key goes through one that has no name in any folder and lies in memory, where there are such.
    own = pem_of(identity.key) + _shown(identity).public_bytes(Encoding.PEM)
    if not hasattr(os, "memfd_create") or not _DESCRIPTORS.is_dir():
        _load_from_disk(context, own)
        return
    with os.fdopen(os.memfd_create("troth"), "wb") as file:
        file.write(own)
        file.flush()
        context.load_cert_chain(_DESCRIPTORS / str(file.fileno()))


def _load_from_disk(context: ssl.SSLContext, own: bytes) -> None:
    """Elsewhere than on Linux: a file that is ours alone (mode 0600), and gone at once."""
    descriptor, name = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(own)
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()


def _name(public: PublicId) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, public)])


def _certificate(
    identity: Identity, subject: x509.Name, key: Ed25519PublicKey, *, authority: bool
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    own = identity.key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_name(identity.public))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
    )
    if not authority:
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        # Strict verification wants a name that is not the subject's; nobody looks it up.
        alternative = x509.SubjectAlternativeName([x509.DNSName("node.invalid")])
        builder = builder.add_extension(alternative, critical=False)
    return builder.sign(identity.key, None)


def _authority(identity: Identity, key: Ed25519PublicKey) -> x509.Certificate:
    """`identity` says that it knows `key`."""
    return _certificate(identity, _name(public_id(key)), key, authority=True)


def _shown(identity: Identity) -> x509.Certificate:
    """What a node shows in a handshake: its identity's key, signed by itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node.invalid")])
    return _certificate(identity, subject, identity.key.public_key(), authority=False)
