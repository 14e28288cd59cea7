"""The machine is not the release: none of its faults condemns one, and only its own bytes do."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import pytest

from toolkit.release.checks import known_bad
from toolkit.release.errors import NotServing, RolledBack
from toolkit.release.platforms import installation, process
from toolkit.release.platforms.blame import ended_by_itself
from toolkit.release.status import look
from toolkit.tests.workshop import Workshop, free_port


@dataclass(frozen=True)
class Scene:
    """Where a fault happens; it ends with the patch, or when its file is removed."""

    shop: Workshop
    patch: pytest.MonkeyPatch
    file: Path
    busy: int

    def at(self, **address: object) -> Workshop:
        """Return the workshop with another address of staging."""
        return at(self.shop, **address)


# Begins a fault, and returns the workshop that suffers from it.
Begin = Callable[[Scene], Workshop]


def failing_to_write(number: int) -> Begin:
    """The system refuses to write the files of the release."""

    def begin(scene: Scene) -> Workshop:
        def refuse(*_: object) -> NoReturn:
            raise OSError(number, os.strerror(number))

        scene.patch.setattr(installation, "write_folder", refuse)
        return scene.shop

    return begin


def failing_to_install(message: str, code: int = 1) -> Begin:
    """The installer ends with a message."""

    def begin(scene: Scene) -> Workshop:
        script = scene.file.with_name("uv")
        script.write_text(f"#!/bin/sh\necho '{message}' >&2\nexit {code}\n", encoding="utf-8")
        script.chmod(0o755)
        scene.patch.setattr(installation, "_uv", lambda: str(script))
        return scene.shop

    return begin


def while_starting(scene: Scene) -> Workshop:
    """The server of the release meets the fault that its model names."""
    scene.file.touch()
    return scene.shop


def at(shop: Workshop, **address: object) -> Workshop:
    """Return the workshop with another address of staging."""
    policy = shop.machine.policy
    moved = tuple(
        replace(one, **address) if one.name == "staging" else one  # type: ignore[arg-type]
        for one in policy.environments
    )
    return replace(shop, machine=replace(shop.machine, policy=replace(policy, environments=moved)))


def busy_port(scene: Scene) -> Workshop:
    """Somebody else listens on the port."""
    return scene.at(port=scene.busy)


def address_of_another_machine(scene: Scene) -> Workshop:
    return scene.at(host="203.0.113.1")


def no_python(scene: Scene) -> Workshop:
    """The interpreter that makes environments is gone."""
    scene.patch.setattr(sys, "executable", str(scene.file.with_name("gone") / "python"))
    return scene.shop


def held_lock(scene: Scene) -> Workshop:
    """A command that hangs holds every lock of a release."""
    scene.patch.setattr(process, "LOCK_TIMEOUT_S", 0.2)
    scene.patch.setattr(process, "_is_locked", lambda file: False)
    return scene.shop


FAULTS: dict[str, tuple[Begin, str, str]] = {
    # What happens; then the fault of a server that starts, and what the error says.
    "disk full": (failing_to_write(errno.ENOSPC), "", "No space left on device"),
    "quota": (failing_to_write(errno.EDQUOT), "", "quota exceeded"),
    "read-only state folder": (failing_to_write(errno.EROFS), "", "Read-only file system"),
    "permission denied": (failing_to_write(errno.EACCES), "", "Permission denied"),
    "broken disk": (failing_to_write(errno.EIO), "", "Input/output error"),
    "too many open files": (failing_to_write(errno.EMFILE), "", "Too many open files"),
    "no memory": (failing_to_write(errno.ENOMEM), "", "Cannot allocate memory"),
    "index silent": (failing_to_install("Connection refused"), "", "Connection refused"),
    "index incomplete": (failing_to_install("No solution found"), "", "No solution found"),
    "DNS": (failing_to_install("failed to lookup address"), "", "failed to lookup address"),
    "clock": (failing_to_install("certificate is not yet valid"), "", "not yet valid"),
    "installer killed": (failing_to_install("Killed", 137), "", "Killed"),
    "Python gone": (no_python, "", "python"),
    "lock held": (held_lock, "", "another command has held"),
    "busy port": (busy_port, "", "cannot listen on 127.0.0.1"),
    "unsupported address": (address_of_another_machine, "", "cannot listen on 203.0.113.1"),
    "killed by SIGKILL": (while_starting, f"signal {signal.SIGKILL:d}", "exited with -9"),
    "ended by SIGTERM": (while_starting, f"signal {signal.SIGTERM:d}", "exited with -15"),
    "drained before it was ready": (while_starting, "exit 0 ", "exited with 0"),
    "unknown instruction": (while_starting, f"signal {signal.SIGILL:d}", "exited with -4"),
    "server without memory": (while_starting, "exit 1 MemoryError", "MemoryError"),
    "server without files": (while_starting, "exit 1 Too many open files", "Too many open"),
    "no threads": (while_starting, "exit 1 can't start new thread", "can't start new thread"),
    "library missing": (while_starting, "exit 1 cannot open shared object file", "shared object"),
    "too slow to start": (while_starting, "hang", "the release hangs at its start"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_no_fault_of_the_machine_condemns_a_release(
    name: str, workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, fault, says = FAULTS[name]
    file = tmp_path / "fault"
    first, second = workshop.release(b"one"), workshop.release(f"while|{file}|{fault}".encode())
    workshop.promote(first, workshop.staging)
    with monkeypatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as other:
        suffering = begin(Scene(workshop, patch, file, other.getsockname()[1]))
        with pytest.raises(RolledBack) as refusal:
            suffering.promote(second, suffering.staging)
    assert says in refusal.value.why
    assert refusal.value.next_step == "fix the machine, and promote the release again"
    history = workshop.ledger().history("staging")
    assert (history[0].release, history[0].outcome) == (second.version, "aborted")
    assert known_bad(history) == set()
    file.unlink(missing_ok=True)
    assert not look(workshop.machine, workshop.ledger(), workshop.staging).drift
    # Not named: as a job would promote it.
    plan = workshop.machine.plan_promotion(workshop.staging, None)
    assert plan.record == second
    assert workshop.promote(second, workshop.staging).outcome == "verified"


def test_a_fault_that_no_list_knows_is_the_machine_s_where_what_serves_meets_it_too(
    workshop: Workshop, tmp_path: Path
) -> None:
    file = tmp_path / "fault"
    one, two = (f"while|{file}|exit 3 {text}".encode() for text in ("licence lost", "no licence"))
    first, second = workshop.release(one), workshop.release(two)
    workshop.promote(first, workshop.staging)
    file.touch()
    with pytest.raises(RolledBack, match="rolled back") as refusal:
        workshop.promote(second, workshop.staging)
    assert f"no server of {first.version}, which serves, starts either" in refusal.value.why
    assert known_bad(workshop.ledger().history("staging")) == set()
    file.unlink()
    assert workshop.promote(second, workshop.staging).outcome == "verified"


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (b"crash at start", "this model crashes at start"),
        (f"while|/|signal {signal.SIGSEGV:d}".encode(), "exited with -11"),
        (b"never ready", "was not ready"),
        (b"wrong version", "/version has the digest"),
        (b"wrong predictions", "/predict answers"),
        (b"proven wrong", "the gated model"),
    ],
)
def test_what_its_own_bytes_did_condemns_a_release(
    workshop: Workshop, model: bytes, why: str
) -> None:
    first, second = workshop.release(b"one"), workshop.release(model)
    workshop.promote(first, workshop.staging)
    with pytest.raises(RolledBack) as refusal:
        workshop.promote(second, workshop.staging)
    assert why in refusal.value.why
    assert known_bad(workshop.ledger().history("staging")) == {second.version}


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold a lock as another process would: of another open file."""
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_command_waits_for_a_lock_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LOCK_TIMEOUT_S", 0.2)
    lock = tmp_path / "lock"
    with holding(lock), pytest.raises(NotServing, match="end it if it hangs"):
        with process.exclusive(lock, tmp_path):
            raise AssertionError("two have the lock")
    with process.exclusive(lock, tmp_path):
        pass


def test_an_environment_serves_over_ipv6(workshop: Workshop) -> None:
    shop = at(workshop, host="::1", port=free_port())
    first, second = shop.release(b"one"), shop.release(b"two")
    shop.promote(first, shop.staging)
    shop.promote(second, shop.staging)
    seen = shop.machine.observe(shop.staging)
    assert seen.endpoint == f"http://[::1]:{shop.staging.port}"
    assert not seen.drift(second.version)
    assert shop.rollback(shop.staging).release == first.version


@pytest.mark.parametrize(
    ("code", "log", "is_its_own"),
    [
        (1, "ValueError: wrong model", True),
        (2, "", True),
        (-signal.SIGABRT, "assertion failed", True),
        (128 + signal.SIGSEGV, "", True),
        (128 + signal.SIGKILL, "", False),
        (127, "python3: not found", False),
        (0, "", False),
        (-signal.SIGABRT, "terminate called after throwing std::bad_alloc", False),
    ],
)
def test_only_a_server_that_ends_by_itself_counts_against_its_release(
    code: int, log: str, is_its_own: bool
) -> None:
    assert ended_by_itself(code, log) is is_its_own
