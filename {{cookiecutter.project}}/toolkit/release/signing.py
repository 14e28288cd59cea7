"""Which events and release tags count where ``[signing]`` in release.toml wants them signed.

Whoever may push can write an event that says what the release machine says. Only the signature by
a key that the default branch lists tells the two apart; without one an event counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .approvals import ALLOWED_SIGNERS
from .errors import PreconditionFailed
from .event import Event, now
from .git import GitFailed
from .ledger import Ledger
from .objects import Invalid, Objects, signature_in
from .policy import Policy
from .policy_file import at_commit
from .references import RELEASES
from .signing_key import VARIABLE

LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Signing:
    """What is asked of signatures, by the default branch at the time.

    Parameters
    ----------
    ledger : Ledger
    today : Policy
        Counts where that of a commit cannot be read.
    objects : Objects
    """

    ledger: Ledger
    today: Policy
    objects: Objects
    _keys: dict[str, frozenset[bytes] | None] = field(default_factory=dict)
    _signers: dict[str, bytes | Invalid] = field(default_factory=dict)
    _tagged: dict[str, datetime] = field(default_factory=dict)

    def keys_at(self, when: datetime) -> frozenset[bytes] | None:
        """Return the keys that may sign at a time; None where no signature is asked."""
        commit = self.ledger.anchor_at(when)
        if commit is None:
            return None
        if commit not in self._keys:
            self._keys[commit] = self._keys_of(commit)
        return self._keys[commit]

    def _keys_of(self, commit: str) -> frozenset[bytes] | None:
        policy = at_commit(lambda name: self.objects.read(name)[1], commit, self.today)
        if not policy.signers:
            return None
        # Imported here: who asks for no signatures needs no package for them.
        from .signatures import keys_of

        try:
            listed = self.objects.read(f"{commit}:{ALLOWED_SIGNERS}")[1]
        except GitFailed:
            return frozenset()
        return keys_of(listed, policy.signers)

    def complaint(self, name: str, when: datetime) -> str:
        """Return why a commit or a tag has no signature that counts at a time, or empty."""
        keys = self.keys_at(when)
        if keys is None:
            return ""
        if name not in self._signers:
            self._signers[name] = self._signer(name)
        return _complaint(self._signers[name], keys)

    def _signer(self, name: str) -> bytes | Invalid:
        """Return the key that has signed a commit or a tag, or why there is none."""
        try:
            return _key(*self.objects.signature(name))
        except GitFailed as error:
            return Invalid(str(error))

    def of_release(self, version: str, when: datetime) -> str:
        """Return why the tag of a release has no signature that counts at a time, or empty."""
        reference = RELEASES + version
        tag = self.ledger.local.get(reference) or (self.ledger.remote or {}).get(reference)
        complaint = self.complaint(tag, when) if tag else ""
        return complaint and f"the tag release/{version} counts for nothing: {complaint}"

    def of_events(self, events: Iterable[Event]) -> dict[str, str]:
        """Return why events of one environment count for nothing, by their commits.

        Parameters
        ----------
        events : iterable of Event
            The oldest first. None is taken for older than one before it, or than its release:
            whoever writes an event by hand dates it as they like.
        """
        found, when = {}, LONG_AGO
        for event in events:
            when = max(when, datetime.fromisoformat(event.time), self._tag_time(event.release))
            if complaint := self.complaint(event.sha, when):
                found[event.sha] = f"it counts for nothing: {complaint}"
        return found

    def _tag_time(self, version: str) -> datetime:
        if version not in self._tagged:
            reference = RELEASES + version
            tag = self.ledger.local.get(reference) or (self.ledger.remote or {}).get(reference)
            try:
                time = self.objects.tag(tag, reference).tagger.time if tag else LONG_AGO
            except GitFailed:
                time = LONG_AGO  # That it is damaged is found where it is read.
            self._tagged[version] = time
        return self._tagged[version]


def _key(payload: bytes, signature: bytes) -> bytes:
    # Imported here: who asks for no signatures needs no package for them.
    from .signatures import verify

    return verify(payload, signature)


def _complaint(signer: bytes | Invalid, keys: frozenset[bytes]) -> str:
    if isinstance(signer, Invalid):
        return str(signer)
    if signer in keys:
        return ""
    return f"{ALLOWED_SIGNERS} lists its key for nobody who signs events by release.toml"


def counted(ledger: Ledger, policy: Policy, history: Sequence[Event]) -> list[Event]:
    """Return the events that count, of an environment's history, the newest first."""
    with Objects(ledger.repository) as objects:
        ignored = Signing(ledger, policy, objects).of_events(reversed(history))
    return [event for event in history if event.sha not in ignored]


def require_key(ledger: Ledger, policy: Policy) -> None:
    """Raise `PreconditionFailed` where what is written now would count for nothing.

    Also a rollback is refused then: what it records would not be believed, and the next command
    would bring back what it left.
    """
    with Objects(ledger.repository) as objects:
        keys = Signing(ledger, policy, objects).keys_at(now())
    signs = ledger.repository.signs
    if keys is None and not signs:
        return
    wanted = "events must be signed, and git has no key that can be used"
    if not signs:
        raise _refuse("events must be signed, by release.toml of the default branch", "git pull")
    try:
        signer = _key(*signature_in("commit", ledger.repository.signed_nothing()))
    except GitFailed as error:
        how = f"git config user.signingkey, with your key's path; in a job, the secret {VARIABLE}"
        raise _refuse(wanted, how, str(error)) from None
    complaint = "" if keys is None else _complaint(signer, keys)
    # Without the remote it is not known which keys are listed now, and a rollback does not wait.
    if complaint and not ledger.unreachable:
        how = f"a pull request to {ALLOWED_SIGNERS} and [signing] by; or user.signingkey"
        raise _refuse("events must be signed by a key that is listed", how, complaint)


def _refuse(what: str, next_step: str, why: str = "") -> PreconditionFailed:
    return PreconditionFailed(what, why=why, state="nothing was changed", next_step=next_step)
