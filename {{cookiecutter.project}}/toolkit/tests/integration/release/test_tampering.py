"""Any single change of the ledger is refused, or named: thousands of them, from fixed seeds.

The changes are made between the gate and production, as somebody who may push would make them: the
release is in staging and approved, and is promoted to prod next. What nobody but a signature proves
is left alone: who a person is, a reason, a duration.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

import pytest

from toolkit.release.audit import audit
from toolkit.release.engine import Machine
from toolkit.release.errors import ReleaseError
from toolkit.release.git import GitFailed, Repository
from toolkit.release.ledger import Ledger
from toolkit.release.policy import Policy
from toolkit.release.records import FILE_NAME, Record, sha256
from toolkit.tests.history import good_week
from toolkit.tests.workshop import git

CHANGES = 2000
SHARES = 20
NAMES = ("evil.whl", "../evil", "/evil", "..", "a/b", "evil.pth", "model.onnx ", "-rf", "e\nvil")
MODES = ("100755", "120000", "40000", "160000", "100664")


class Unchanged(Exception):
    """The text holds nothing of what a draw would edit."""


@dataclass
class Ground:
    """The ledger before a change: a remote, and a clone that has no reference of it.

    Parameters
    ----------
    remote : Repository
        A bare one, to which everything is written.
    clone : Repository
    policy : Policy
    record : Record
        The release that is promoted next.
    references : dict of str to str
        Those of the remote.
    """

    remote: Repository
    clone: Repository
    policy: Policy
    record: Record
    references: dict[str, str] = field(default_factory=dict)

    @property
    def release(self) -> str:
        return f"refs/tags/release/{self.record.version}"

    @property
    def approval(self) -> str:
        prefix = f"refs/tags/approval/prod/{self.record.version}/"
        return next(name for name in self.references if name.startswith(prefix))

    def raw(self, name: str, kind: str) -> bytes:
        """Return an object as it is stored."""
        return self.remote.read("cat-file", kind, name)

    def store(self, kind: str, content: bytes) -> str:
        """Store an object, whatever is in it."""
        command = ("hash-object", "-t", kind, "-w", "--literally", "--stdin")
        return self.remote.run(*command, stdin=content)

    def entries(self, tree: str) -> dict[str, tuple[str, str]]:
        """Return ``{name: (mode, object)}``."""
        lines = self.remote.run("ls-tree", tree).splitlines()
        return {line.split("\t")[1]: (line.split()[0], line.split()[2]) for line in lines}

    def folder(self, entries: Iterator[tuple[str, tuple[str, str]]]) -> str:
        """Store a folder with any names and modes."""
        parts = (f"{m} {n}".encode() + b"\0" + bytes.fromhex(s) for n, (m, s) in entries)
        return self.store("tree", b"".join(parts))

    def edited(self, kind: str, name: str, edit: Callable[[str], str]) -> str:
        """Store a commit or a tag anew, with its text changed."""
        text = self.raw(name, kind).decode()
        changed = edit(text)
        if changed == text:
            raise Unchanged
        return self.store(kind, changed.encode())

    def with_target(self, tag: str, commit: str) -> str:
        """Store a tag anew that names another commit."""
        return self.edited("tag", tag, lambda text: re.sub("^object .*", f"object {commit}", text))

    def with_tree(self, commit: str, tree: str) -> str:
        """Store a commit anew that has another folder."""
        return self.edited("commit", commit, lambda text: re.sub("^tree .*", f"tree {tree}", text))

    def released_with(self, tree: str) -> dict[str, str]:
        """Return the reference of the release with another folder in it."""
        commit = self.remote.run("rev-parse", f"{self.release}^{{commit}}")
        return {self.release: self.with_target(self.release, self.with_tree(commit, tree))}


Changed = dict[str, str]
Change = Callable[[Ground, Random], Changed]


def a_byte(ground: Ground, rng: Random) -> Changed:
    """Change, add or take away a byte of a released file."""
    entries = ground.entries(f"{ground.release}^{{tree}}")
    name = rng.choice(sorted(entries))
    content = bytearray(ground.raw(entries[name][1], "blob"))
    at = rng.randrange(len(content)) if content else 0
    how = rng.choice(("flip", "add", "cut")) if content else "add"
    if how == "flip":
        content[at] ^= 1 << rng.randrange(8)
    elif how == "add":
        content.insert(at, rng.randrange(256))
    else:
        del content[at:]
    entries[name] = (entries[name][0], ground.store("blob", bytes(content)))
    return ground.released_with(ground.folder(iter(sorted(entries.items()))))


def an_entry(ground: Ground, rng: Random) -> Changed:
    """Add, remove, rename, double or convert an entry of the release's folder."""
    entries = ground.entries(f"{ground.release}^{{tree}}")
    name = rng.choice(sorted(entries))
    mode, blob = entries[name]
    listed = sorted(entries.items())
    how = rng.randrange(5)
    if how == 0:
        listed.append((rng.choice(NAMES), ("100644", ground.store("blob", b"evil"))))
    elif how == 1:
        listed.remove((name, (mode, blob)))
    elif how == 2:
        listed.remove((name, (mode, blob)))
        listed.append((rng.choice((*NAMES, name.upper(), name + "x")), (mode, blob)))
    elif how == 3:
        listed.append((name, (mode, ground.store("blob", b"evil"))))
    else:
        listed.remove((name, (mode, blob)))
        listed.append((name, (rng.choice(MODES), blob)))
    return ground.released_with(ground.folder(iter(listed)))


def a_field(ground: Ground, rng: Random) -> Changed:
    """Change a field of the record, as somebody would who knows its form."""
    entries = ground.entries(f"{ground.release}^{{tree}}")
    document = json.loads(ground.raw(entries[FILE_NAME][1], "blob"))
    key = rng.choice(sorted(document))
    other = sha256(str(rng.random()).encode())
    new = {
        "schema": rng.choice((0, 2, None)),
        "version": f"{other[:12]}-{other[:8]}",
        "commit": other[:40],
        "digest": f"sha256:{other}",
        "gate": rng.choice(("failed", "", None)),
        "artifacts": document["artifacts"] | {rng.choice(("model.onnx", "evil.whl")): other},
        "evidence": rng.choice(({}, document["evidence"] | {"gate.json": other})),
    }
    document[key] = new.get(key, other)
    blob = ground.store("blob", json.dumps(document, indent=2, sort_keys=True).encode())
    entries[FILE_NAME] = ("100644", blob)
    return ground.released_with(ground.folder(iter(sorted(entries.items()))))


def the_released_commit(ground: Ground, rng: Random) -> Changed:
    """Give the release's commit another parent, several, none, or another release's folder."""
    commit = ground.remote.run("rev-parse", f"{ground.release}^{{commit}}")
    main = ground.remote.run("rev-list", "--max-count=5", "refs/heads/main").split()
    other = rng.choice([one for one in main if one != ground.record.commit])
    another = rng.choice(tags_of(ground, "release", without=ground.release))
    edits: tuple[Callable[[str], str], ...] = (
        lambda text: re.sub("(?m)^parent .*", f"parent {other}", text),
        lambda text: re.sub("(?m)^parent .*", rf"\g<0>\nparent {other}", text),
        lambda text: re.sub("(?m)^parent .*\n", "", text),
        lambda text: re.sub("^tree .*", f"tree {tree_of(ground, another)}", text),
        lambda text: re.sub("(?m)^parent .*", f"parent {'0' * 40}", text),
    )
    changed = ground.edited("commit", commit, rng.choice(edits))
    return {ground.release: ground.with_target(ground.release, changed)}


def tree_of(ground: Ground, reference: str) -> str:
    return ground.remote.run("rev-parse", f"{reference}^{{tree}}")


def tags_of(ground: Ground, kind: str, without: str = "") -> list[str]:
    prefix = f"refs/tags/{kind}/"
    return [one for one in ground.references if one.startswith(prefix) and one != without]


def a_tag(ground: Ground, rng: Random) -> Changed:
    """Change what the tag of the release, or of its approval, says of itself."""
    reference = rng.choice((ground.release, ground.approval))
    name = reference.removeprefix("refs/tags/")
    main = ground.references["refs/heads/main"]
    elsewhere = rng.choice((name + "x", name.replace("prod", "staging"), "evil", name.upper()))
    edits: list[Callable[[str], str]] = [
        lambda text: re.sub("(?m)^object .*", f"object {main}", text),
        lambda text: re.sub("(?m)^object .*", f"object {'0' * 40}", text),
        lambda text: re.sub("(?m)^object .*\n", "", text),
        lambda text: re.sub("(?m)^type .*", f"type {rng.choice(('tree', 'blob', 'tag'))}", text),
        lambda text: re.sub(
            "(?m)^tag .*", f"tag {elsewhere}" if elsewhere != name else "tag e", text
        ),
        lambda text: re.sub("(?m)^tag .*", r"\g<0>\n\g<0>", text),
        lambda text: re.sub("(?m)^tagger .*\n", "", text),
        lambda text: re.sub("(?m)^tagger .*", "tagger nobody", text),
        lambda text: re.sub(r"(?m)^(tagger .*>) (\d+)", older(rng), text),
        lambda text: re.sub(r"(?m)^((Digest|Files): sha256:)....", r"\g<1>0000", text),
        lambda text: re.sub("(?m)^(Digest|Files): .*", r"\g<0>\n\g<0>", text),
        lambda text: re.sub("(?m)^(Digest|Files): .*\n", "", text),
    ]
    if rng.random() < 0.1:
        return {reference: ground.remote.run("rev-parse", f"{reference}^{{commit}}")}
    return {reference: ground.edited("tag", reference, rng.choice(edits))}


def older(rng: Random) -> Callable[[re.Match[str]], str]:
    """Return a replacement that makes a time earlier by hours."""
    back = rng.randrange(3600, 10**7)
    return lambda found: f"{found[1]} {int(found[2]) - back}"


def an_event(ground: Ground, rng: Random) -> Changed:
    """Change a line of one of the two events by which the release came to staging."""
    verified = ground.references["refs/heads/env/staging"]
    pending = ground.remote.run("rev-parse", f"{verified}^")
    key = rng.choice(("Event", "Release", "Digest", "Outcome", "From", "Gate-verdict", "Event-id"))
    other = rng.choice(("", "evil", "sha256:" + "0" * 64, "pending", "failed", "rollback"))
    line = f"(?m)^{key}: .*\n"
    edits: list[Callable[[str], str]] = [
        lambda text: re.sub(line, f"{key}: {other}\n" if other else "", text),
        lambda text: re.sub(line, rf"\g<0>{key}: {other}\n", text),
        lambda text: text + rng.choice(("not a trailer\n", "\nEvent: hold\n", "é\x1b[31m\n")),
        lambda text: re.sub("(?m)^promote .*", f"promote evil {other}", text),
        lambda text: re.sub(r"(?m)^((?:committer) .*>) (\d+)", older(rng), text),
        lambda text: re.sub("(?m)^committer .*\n", "", text),
    ]
    edit = rng.choice(edits)
    if key == "Event-id" and edit is edits[0] and other:
        other = ""  # Another id is as good as this one.
    if rng.random() < 0.5:
        return {"refs/heads/env/staging": ground.edited("commit", verified, edit)}
    begun = ground.edited("commit", pending, edit)
    ended = ground.edited("commit", verified, lambda text: text.replace(pending, begun))
    return {"refs/heads/env/staging": ended}


def a_state(ground: Ground, rng: Random) -> Changed:
    """Change the desired state of one of those events, or of both alike."""
    verified = ground.references["refs/heads/env/staging"]
    pending = ground.remote.run("rev-parse", f"{verified}^")
    entries = ground.entries(f"{verified}^{{tree}}")
    how = rng.randrange(4)
    if how == 0:
        manifest = json.loads(ground.raw(entries["process.json"][1], "blob"))
        manifest[rng.choice(("release", "digest", "serve"))] = ["-c", "evil"]
        content = json.dumps(manifest).encode()
        entries["process.json"] = ("100644", ground.store("blob", content))
    elif how == 1:
        record = ground.raw(entries[FILE_NAME][1], "blob").replace(b"passed", b"failed")
        entries[FILE_NAME] = ("100644", ground.store("blob", record))
    elif how == 2:
        del entries[FILE_NAME]
    else:
        entries[rng.choice(NAMES[1:5])] = ("100644", ground.store("blob", b"evil"))
    tree = ground.folder(iter(sorted(entries.items())))
    if rng.random() < 0.4:
        return {"refs/heads/env/staging": ground.with_tree(verified, tree)}
    begun = ground.with_tree(pending, tree)
    both = ground.with_tree(verified, tree)
    ended = ground.edited("commit", both, lambda text: text.replace(pending, begun))
    return {"refs/heads/env/staging": ended}


def a_reference(ground: Ground, rng: Random) -> Changed:
    """Add a reference: a copy of another one under a new name, or a stranger; or rename one."""
    old = rng.choice([one for one in ground.references if one != "refs/heads/main"])
    version = f"{rng.getrandbits(48):012x}-{rng.getrandbits(32):08x}"
    new = rng.choice(
        (
            f"refs/tags/release/{version}",
            "refs/tags/release/latest",
            f"refs/tags/approval/prod/{ground.record.version}/eve@example.com",
            f"refs/tags/approval/staging/{ground.record.version}/ada@example.com",
            f"refs/tags/approval/prod/{version}/ada@example.com",
            "refs/heads/env/evil",
            "refs/heads/env/production",
        )
    )
    target = rng.choice((ground.references[old], ground.references["refs/heads/main"]))
    if new.startswith("refs/heads/"):
        target = ground.remote.run("rev-parse", f"{target}^{{commit}}")
    return {new: target}


def a_commit_on_top(ground: Ground, rng: Random) -> Changed:
    """Move an environment's branch on by one or two commits that no command has written."""
    name = rng.choice(("staging", "prod"))
    reference = f"refs/heads/env/{name}"
    head = ground.references[reference]
    entries = ground.entries(f"{head}^{{tree}}")
    now = ground.remote.run("show", "--no-patch", "--format=%ct", head)
    who = f"Eve <eve@example.com> {now} +0000"
    tree, how = tree_of(ground, reference), rng.randrange(4)
    if how == 0:  # A merge with something else.
        parents, message = [head, ground.references["refs/heads/main"]], "merge\n"
    elif how == 1:
        parents, message = [head], rng.choice(("evil\n", "", "promote\n\nOutcome: verified\n"))
    else:
        record = json.loads(ground.raw(entries[FILE_NAME][1], "blob"))
        parents, message = [head], event("hold", record, name, "noted")
        entries["evil.txt"] = ("100644", ground.store("blob", b"evil"))
        tree = ground.folder(iter(sorted(entries.items())))
    if how == 3:
        new = json.loads(ground.remote.read("cat-file", "blob", f"{ground.release}:{FILE_NAME}"))
        released = ground.entries(f"{ground.release}^{{tree}}")[FILE_NAME]
        tree = ground.folder(iter([(FILE_NAME, released)]))
        begun = commit(ground, tree, parents, who, event("promote", new, name, "pending"))
        message = event("promote", new, name, "failed") + f"Caused-by: {begun}\n"
        parents = [begun]
    return {reference: commit(ground, tree, parents, who, message)}


def event(kind: str, record: Mapping[str, str], environment: str, outcome: str) -> str:
    """Return the message of an event, as somebody would write it by hand."""
    version, digest = record["version"], record["digest"]
    subject = f"{kind} {version} in {environment}: {outcome}"
    lines = [f"Event: {kind}", f"Release: {version}", f"Digest: {digest}", f"Outcome: {outcome}"]
    return "\n".join([subject, "", *lines, f"Event-id: {kind}{outcome}", ""])


def commit(ground: Ground, tree: str, parents: list[str], who: str, message: str) -> str:
    head = "".join([f"tree {tree}\n", *(f"parent {one}\n" for one in parents)])
    text = f"{head}author {who}\ncommitter {who}\n\n{message}"
    return ground.store("commit", text.encode())


KINDS: tuple[Change, ...] = (
    a_byte,
    an_entry,
    a_field,
    the_released_commit,
    a_tag,
    an_event,
    a_state,
    a_reference,
    a_commit_on_top,
)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Two releases in prod; the third is in staging, approved, and free to go."""
    folder = tmp_path_factory.mktemp("ledger")
    with good_week(folder) as history:
        shop, record = history.shop, history.releases[2]
        shop.unhold(shop.prod)
        shop.ledger().add_approval("prod", record, "looked at it", signed=False)
        clone = folder / "fresh"
        git(folder, "clone", "--quiet", "--no-tags", str(history.remote), str(clone))
        for key, value in {"user.name": "Ada", "user.email": "ada@example.com"}.items():
            git(clone, "config", key, value)
        remote = Repository(history.remote)
        made = Ground(remote, Repository(clone), shop.machine.policy, record)
        made.references = remote.local_references()
        yield made


def outcome(ground: Ground, changed: Mapping[str, str]) -> tuple[str, list[str]]:
    """Make a change at the remote; return how a promotion is refused, and what an audit finds."""
    try:
        for reference, target in changed.items():
            ground.remote.set_reference(reference, target)
    except GitFailed as error:
        return f"git does not take it: {error}", []
    try:
        machine = Machine(Repository(ground.clone.root), ground.policy)
        refusal = ""
        try:
            machine.plan_promotion(ground.policy.environment("prod"), ground.record.version)
        except ReleaseError as error:
            refusal = str(error)
        found = audit(Ledger.open(Repository(ground.clone.root)), ground.policy)
        return refusal, [str(one) for one in found.findings]
    finally:
        for reference in changed:
            before = ground.references.get(reference)
            arguments = (
                ("update-ref", reference, before) if before else ("update-ref", "-d", reference)
            )
            git(ground.remote.root, *arguments)


def test_unchanged_it_goes_to_production_and_the_audit_finds_nothing(ground: Ground) -> None:
    assert outcome(ground, {}) == ("", [])


@pytest.mark.parametrize(
    "share", [0, *(pytest.param(one, marks=pytest.mark.full) for one in range(1, SHARES))]
)
def test_no_single_change_is_missed(ground: Ground, share: int) -> None:
    for number in range(share, CHANGES, SHARES):
        change = KINDS[number % len(KINDS)]
        changed = drawn(ground, change, number)
        refusal, found = outcome(ground, changed)
        assert refusal or found, f"change {number}: {change.__doc__} {changed}"


def drawn(ground: Ground, change: Change, number: int) -> Changed:
    """Return a change that changes something; not every text holds what a draw would edit."""
    for attempt in itertools.count():
        try:
            return change(ground, Random(f"{number}/{attempt}"))
        except Unchanged:
            continue
    raise AssertionError("the draws have no end")
