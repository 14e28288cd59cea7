"""Signatures of commits and tags by real ssh keys, made by git and verified in this process."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from toolkit.release.objects import Invalid, Objects, signature_in
from toolkit.release.signatures import allowed_signers, keys_of, verify
from toolkit.tests.ssh_keys import public_key
from toolkit.tests.workshop import Workshop, git

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is missing")

JOB = "release@example.com"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key of each kind."""
    folder = tmp_path_factory.mktemp("keys")
    for kind in ("ed25519", "rsa", "ecdsa", "other"):
        public_key(folder, kind, "ed25519" if kind == "other" else kind)
    return folder


def blob(folder: Path, name: str) -> bytes:
    """Return a public key as it stands in a signature."""
    return base64.b64decode(public_key(folder, name).split()[1])


def sign(folder: Path, key: str, text: bytes = b"a text\n", namespace: str = "git") -> bytes:
    """Return the signature that ssh-keygen makes."""
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(folder / key)]
    return subprocess.run(command, input=text, capture_output=True, check=True).stdout


def armored(content: bytes) -> bytes:
    text = base64.b64encode(content).decode()
    lines = "\n".join(text[at : at + 70] for at in range(0, len(text), 70))
    return f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n".encode()


def decoded(signature: bytes) -> bytes:
    return base64.b64decode(b"".join(signature.splitlines()[1:-1]))


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_signature_names_the_key_that_made_it(folder: Path, kind: str) -> None:
    assert verify(b"a text\n", sign(folder, kind)) == blob(folder, kind)


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_another_text_is_not_signed(folder: Path, kind: str) -> None:
    with pytest.raises(Invalid, match="of another text, or not by the key"):
        verify(b"a text!\n", sign(folder, kind))


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_no_byte_of_a_signature_can_be_another(folder: Path, kind: str) -> None:
    """With another key in it, it is not by that key. Of the longer kinds every fifth is tried."""
    content = decoded(sign(folder, kind))
    for at in range(0, len(content), 1 if kind == "ed25519" else 5):
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        with pytest.raises(Invalid):
            verify(b"a text\n", armored(changed))


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_signature_that_is_cut_off_or_goes_on_is_none(folder: Path, kind: str) -> None:
    content = decoded(sign(folder, kind))
    for wrong in (*(content[:end] for end in range(len(content))), content + b"\0"):
        with pytest.raises(Invalid):
            verify(b"a text\n", armored(wrong))


def test_the_key_of_somebody_else_cannot_be_claimed(folder: Path) -> None:
    own, other = blob(folder, "ed25519"), blob(folder, "other")
    claimed = decoded(sign(folder, "other")).replace(other, own)
    with pytest.raises(Invalid, match="not by the key that it names"):
        verify(b"a text\n", armored(claimed))


def test_a_signature_of_a_file_is_none_for_git(folder: Path) -> None:
    with pytest.raises(Invalid, match="was made for 'file', not for git"):
        verify(b"a text\n", sign(folder, "ed25519", namespace="file"))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (b"", "not by an ssh key"),
        (b"-----BEGIN PGP SIGNATURE-----\nAAAA\n-----END PGP SIGNATURE-----\n", "not by an ssh"),
        (armored(b"SSHSIG\0\0\0\2rest"), "not of ssh's version 1"),
        (armored(b"").replace(b"\n\n", b"\nAAA\n"), "cannot be decoded"),
        (armored(b"SSHSIG\0\0\0\1\xff\xff\xff\xff"), "cut off"),
    ],
)
def test_what_is_no_signature_is_named(wrong: bytes, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        verify(b"a text\n", wrong)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"ssh-ed25519", b"ssh-ed99999", "'ssh-ed99999' is a kind of key that is not supported"),
        (b"sha512", b"sha999", "the unknown hash 'sha999'"),
    ],
)
def test_an_unknown_kind_is_named(folder: Path, old: bytes, new: bytes, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        verify(b"a text\n", armored(decoded(sign(folder, "ed25519")).replace(old, new)))


def test_a_key_signs_only_as_its_own_kind_does(folder: Path) -> None:
    content = decoded(sign(folder, "rsa"))
    with pytest.raises(Invalid, match="'rsa-sha9-512' is a kind of signature"):
        verify(b"a text\n", armored(content.replace(b"rsa-sha2-512", b"rsa-sha9-512")))


@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
def test_git_s_own_commits_and_tags_are_verified(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hash_name: str
) -> None:
    monkeypatch.setenv("GIT_DEFAULT_HASH", hash_name)
    shop = Workshop.open(tmp_path / "clone", None)
    git(shop.folder, "config", "user.signingkey", str(folder / "ed25519"))
    repository = shop.machine.repository
    repository.signs = True
    commit = repository.write_commit(repository.write_tree({}), [], "größer\n\na trailer: 1\n")
    tag = repository.write_signed_tag("release/x", commit, "a release\n")
    with Objects(repository) as objects:
        for name in (commit, tag):
            assert verify(*objects.signature(name)) == blob(folder, "ed25519")
        with pytest.raises(Invalid, match="it has no signature"):
            objects.signature(repository.head())
    assert verify(*signature_in("commit", repository.signed_nothing())) == blob(folder, "ed25519")


def test_a_signature_in_a_message_is_none() -> None:
    text = b"tree 1\n\nsubject\n\ngpgsig -----BEGIN SSH SIGNATURE-----\n x\n"
    with pytest.raises(Invalid, match="it has no signature"):
        signature_in("commit", text)


def test_two_signatures_are_none() -> None:
    one = b"gpgsig -----BEGIN SSH SIGNATURE-----\n x\n -----END SSH SIGNATURE-----\n"
    with pytest.raises(Invalid, match="it has 2 signatures"):
        signature_in("commit", b"tree 1\n" + one + one.replace(b"sig", b"sig-sha256") + b"\nhi\n")


@pytest.mark.parametrize(
    ("line", "is_listed"),
    [
        ("release@example.com KEY", True),
        ("release@example.com KEY a comment", True),
        ("ada@example.com,release@example.com KEY", True),
        ("*@example.com KEY", True),
        ('"release@example.com" KEY', True),
        ('release@example.com namespaces="git" KEY', True),
        ('release@example.com namespaces="file,git",valid-before="20200101" KEY', True),
        ('release@example.com namespaces="file" KEY', False),
        ("release@example.com cert-authority KEY", False),
        ('release@example.com namespaces="git",cert-authority KEY', False),
        ("*@example.com,!release@example.com KEY", False),
        ("Release@example.com KEY", False),
        ("release@example.org KEY", False),
        ("[r]elease@example.com KEY", False),
        ("# release@example.com KEY", False),
        ("release@example.com ssh-rsa AAAA", False),
        ("release@example.com", False),
        ("", False),
    ],
)
def test_a_line_of_allowed_signers_lists_a_key_for_git(
    folder: Path, line: str, is_listed: bool
) -> None:
    content = line.replace("KEY", public_key(folder, "ed25519")).encode() + b"\n"
    expected = {blob(folder, "ed25519")} if is_listed else set()
    assert keys_of(content, (JOB,)) == expected


def test_the_lines_that_ssh_takes_are_taken(folder: Path, tmp_path: Path) -> None:
    """ssh-keygen itself says who may have made a signature."""
    lines = [
        f"{JOB} {public_key(folder, 'rsa')}",
        f'*@example.com namespaces="git" {public_key(folder, "ed25519")}',
    ]
    file, signature = tmp_path / "allowed", tmp_path / "signature"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("rsa", "ed25519", "other"):
        signature.write_bytes(sign(folder, name))
        command = ["ssh-keygen", "-Y", "verify", "-f", str(file), "-I", JOB, "-n", "git"]
        command += ["-s", str(signature)]
        done = subprocess.run(command, input=b"a text\n", capture_output=True)
        is_taken = verify(b"a text\n", signature.read_bytes()) in keys_of(file.read_bytes(), (JOB,))
        assert is_taken == (done.returncode == 0), name
    assert len(allowed_signers(file.read_bytes())) == 2
