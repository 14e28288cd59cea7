"""Verifies ssh's signatures of commits and tags, thousands of them in one process.

Git starts two programs for each. The format is that of PROTOCOL.sshsig in OpenSSH, and the file
with the keys that of ssh-keygen(1), ALLOWED SIGNERS.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from .objects import Invalid

PREAMBLE = b"SSHSIG"
VERSION = (1).to_bytes(4, "big")
# What git signs is signed for nothing else, and the other way round.
NAMESPACE = b"git"
HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
ARMOR = re.compile(
    rb"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END SSH SIGNATURE-----\n*"
)
ED25519, RSA, ECDSA_P256 = b"ssh-ed25519", b"ssh-rsa", b"ecdsa-sha2-nistp256"
RSA_HASHES = {b"rsa-sha2-256": hashes.SHA256(), b"rsa-sha2-512": hashes.SHA512()}
PublicKey = Ed25519PublicKey | RSAPublicKey | EllipticCurvePublicKey

# A field of ``allowed_signers``: white space within quotation marks does not end it.
FIELD = re.compile(r'(?:[^\s"]|"[^"]*")+')
OPTION = re.compile(r'([a-z-]+)(?:="([^"]*)")?(?:,|$)')


@dataclass(frozen=True)
class AllowedSigner:
    """A line of ``allowed_signers``.

    Parameters
    ----------
    principals : str
        Patterns of addresses, separated by commas.
    key : bytes
        The public key, as it stands in a signature.
    """

    principals: str
    key: bytes


def verify(payload: bytes, armored: bytes) -> bytes:
    """Return the public key by which a text is signed for git; `Invalid` where it is not."""
    found = ARMOR.fullmatch(armored)
    if found is None:
        raise Invalid("its signature is not by an ssh key")
    try:
        content = base64.b64decode(found[1].replace(b"\n", b""), validate=True)
    except ValueError:
        raise Invalid("its signature cannot be decoded") from None
    start = PREAMBLE + VERSION
    if not content.startswith(start):
        raise Invalid("its signature is not of ssh's version 1")
    key, namespace, reserved, hash_name, signature = _strings(content[len(start) :], 5)
    if namespace != NAMESPACE:
        raise Invalid(f"its signature was made for {_shown(namespace)}, not for git")
    if hash_name not in HASHES:
        raise Invalid(f"its signature has the unknown hash {_shown(hash_name)}")
    parts = (namespace, reserved, hash_name, HASHES[hash_name](payload).digest())
    signed = PREAMBLE + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    algorithm, value = _strings(signature, 2)
    try:
        _check(_public_key(key), algorithm, value, signed)
    except InvalidSignature:
        raise Invalid("its signature is of another text, or not by the key that it names") from None
    return key


def _check(key: PublicKey, algorithm: bytes, value: bytes, signed: bytes) -> None:
    if isinstance(key, Ed25519PublicKey) and algorithm == ED25519:
        key.verify(value, signed)
    elif isinstance(key, RSAPublicKey) and algorithm in RSA_HASHES:
        key.verify(value, signed, PKCS1v15(), RSA_HASHES[algorithm])
    elif isinstance(key, EllipticCurvePublicKey) and algorithm == ECDSA_P256:
        r, s = (int.from_bytes(number, "big") for number in _strings(value, 2))
        key.verify(encode_dss_signature(r, s), signed, ECDSA(hashes.SHA256()))
    else:
        raise Invalid(f"{_shown(algorithm)} is a kind of signature that is not supported")


@lru_cache(maxsize=1000)
def _public_key(key: bytes) -> PublicKey:
    kind = _string(key)[0]
    if kind not in (ED25519, RSA, ECDSA_P256):
        raise Invalid(f"{_shown(kind)} is a kind of key that is not supported")
    try:
        loaded = load_ssh_public_key(kind + b" " + base64.b64encode(key))
    except (ValueError, NotImplementedError, UnsupportedAlgorithm) as error:
        raise Invalid(f"the key of its signature cannot be read: {error}") from None
    assert isinstance(loaded, PublicKey), "those are the three kinds"
    return loaded


def _string(content: bytes) -> tuple[bytes, bytes]:
    """Split the first string off, which follows its length in four bytes."""
    end = 4 + int.from_bytes(content[:4], "big")
    if len(content) < max(4, end):
        raise Invalid("its signature is cut off")
    return content[4:end], content[end:]


def _strings(content: bytes, count: int) -> list[bytes]:
    """Split a text into just so many strings."""
    found = []
    for _ in range(count):
        part, content = _string(content)
        found.append(part)
    if content:
        raise Invalid("its signature has more in it than a signature")
    return found


def _shown(name: bytes) -> str:
    return repr(name[:40].decode("utf-8", "backslashreplace"))


def allowed_signers(content: bytes) -> list[AllowedSigner]:
    """Read the keys that may sign for git; a line that cannot be read allows nothing.

    The dates of a line, ``valid-after`` and ``valid-before``, are passed over: a signature has
    the date that its maker writes. A line that must not count any more is taken out. No line of a
    certificate authority is taken: certificates are not supported.
    """
    lines = content.decode("utf-8", "replace").splitlines()
    fields = [FIELD.findall(line) for line in lines if not line.lstrip().startswith("#")]
    return [one for line in fields if (one := _allowed_signer(line))]


def _allowed_signer(fields: list[str]) -> AllowedSigner | None:
    principals, options = fields[0] if fields else "", ""
    key = _key_in(fields[1:3])
    if key is None:
        options, key = "".join(fields[1:2]), _key_in(fields[2:4])
    settings = dict(OPTION.findall(options.lower()))
    is_for_git = _matches(NAMESPACE.decode(), settings.get("namespaces", "*"))
    if key is None or "cert-authority" in settings or not is_for_git:
        return None
    return AllowedSigner(principals.replace('"', ""), key)


def _key_in(fields: list[str]) -> bytes | None:
    if len(fields) < 2:
        return None
    try:
        key = base64.b64decode(fields[1], validate=True)
        return key if _string(key)[0] == fields[0].encode() else None
    except (ValueError, Invalid):
        return None


@lru_cache(maxsize=1000)
def keys_of(content: bytes, people: tuple[str, ...]) -> frozenset[bytes]:
    """Return the public keys that ``allowed_signers`` lists for any of some principals."""
    return frozenset(
        signer.key
        for signer in allowed_signers(content)
        if any(_matches(person, signer.principals) for person in people)
    )


def _matches(name: str, patterns: str) -> bool:
    """Return whether a name matches a list of patterns with ``*`` and ``?``, as ssh does it.

    One that begins with ``!`` excludes what it matches.
    """
    listed = patterns.replace("[", "[[]").split(",")
    if any(fnmatchcase(name, one[1:]) for one in listed if one.startswith("!")):
        return False
    return any(fnmatchcase(name, one) for one in listed if not one.startswith("!"))
