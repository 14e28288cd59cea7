"""A real Docker Engine, a real registry and a base image, for tests that build and ship images.

Nothing is pulled: the base image comes from a Debian mirror, so package indexes are all they need.
What a machine cannot give is told by `EngineMissing`, whose text is the reason to skip a test with.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

from demo.repository import free_ports

BASE_IMAGE = "churn-test-base:bookworm"
DEBIAN_IMAGE = "churn-test-debian:bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv")

# Files of Debian that no test reads; they are half of what debootstrap leaves.
UNREAD = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/locale")

# Names a folder that keeps Debian's archive from one run to the next.
CACHE_VARIABLE = "CHURN_TEST_CACHE"

# Where Debian's Python finds certificates; programs that bring their own must be pointed there.
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")

# What leads pip and uv to this machine's package index. Folders mean nothing in a container, so
# PIP_FIND_LINKS and PIP_CONSTRAINT stay out.
INDEX_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "UV_DEFAULT_INDEX")

# Builds install packages; they would outlast the client's own 60 seconds.
TIMEOUT_SECONDS = 600
START_SECONDS = 60

# Who may use the locked registry, in the form of `auth_config`, and the line that lets them in,
# as `htpasswd -nbB -C 4 pusher only-in-tests` prints it.
ACCOUNT = {"username": "pusher", "password": "only-in-tests"}
HTPASSWD = "pusher:$2b$04$8yLns3uZQiBpRs/imNIbPuoZp0wY9r8UP3qSo1RJJzW3wtwnjJfj2\n"


class EngineMissing(Exception):
    """This machine cannot give what was asked for, and why."""


@dataclass(frozen=True)
class Engine:
    """A Docker Engine that answers.

    Parameters
    ----------
    client : docker.DockerClient
    environment : dict
        What leads another process to it, over and above this process's environment.
    """

    client: docker.DockerClient
    environment: dict[str, str] = field(default_factory=dict)


@contextmanager
def engine() -> Iterator[Engine]:
    """Yield the engine that already answers, else one that lives as long as this context."""
    with ExitStack() as stack:
        try:
            client = docker.from_env(timeout=TIMEOUT_SECONDS)
            stack.callback(client.close)
            client.ping()
            found = Engine(client)
        except DockerException as missing:
            _need("dockerd", f"no Docker Engine answers ({missing})")
            found = stack.enter_context(_own_engine())
        yield found


@contextmanager
def registry() -> Iterator[str]:
    """Yield ``127.0.0.1:port`` of an empty registry that serves everybody.

    An engine speaks to a loopback address without TLS.
    """
    with _registry({}) as address:
        yield address


@contextmanager
def locked_registry() -> Iterator[str]:
    """Yield ``127.0.0.1:port`` of an empty registry that denies everybody but `ACCOUNT`."""
    with _scratch() as folder:
        accounts = folder / "htpasswd"
        accounts.write_text(HTPASSWD, encoding="utf-8")
        with _registry({"htpasswd": {"realm": "tests", "path": str(accounts)}}) as address:
            yield address


def base_image(client: docker.DockerClient) -> str:
    """Return the tag of a Debian with Python, made now if this engine does not have it.

    Its containers reach the package index as this machine does.
    """
    if not client.images.list(name=BASE_IMAGE):
        with _scratch() as folder:
            _import_debian(client, folder)
            _add_machine_settings(client, folder)
    return BASE_IMAGE


@contextmanager
def _own_engine() -> Iterator[Engine]:
    """Yield an engine whose files, network and processes end with this context."""
    with _scratch() as folder, _bridge() as bridge:
        host = f"unix://{folder / 'socket'}"
        settings = {
            "hosts": [host],
            "data-root": str(folder / "data"),
            "exec-root": str(folder / "exec"),
            "pidfile": str(folder / "pid"),
            "bridge": bridge,
            # Its own rules would outlive it, and a second engine would rewrite them.
            "iptables": False,
            "ip6tables": False,
        }
        # Without a file of its own, this machine's /etc/docker/daemon.json would have a say.
        file = folder / "daemon.json"
        file.write_text(json.dumps(settings), encoding="utf-8")
        command = ["dockerd", "--config-file", str(file)]
        with _running(command, folder / "log", lambda: _engine_answers(host)):
            client = docker.DockerClient(host, timeout=TIMEOUT_SECONDS)
            try:
                yield Engine(client, {"DOCKER_HOST": host})
            finally:
                # A container that ignores SIGTERM would hold the engine's end up for 10 seconds.
                for container in client.containers.list(all=True):
                    container.remove(force=True, v=True)
                client.close()


def _engine_answers(host: str) -> bool:
    try:
        docker.DockerClient(host).close()
    except DockerException:
        return False
    return True


@contextmanager
def _bridge() -> Iterator[str]:
    """Yield a bridge whose containers reach out through this machine, and nothing reaches in.

    Ports that a container publishes are served by the engine's proxy process. The kernel keeps
    forwarding switched on afterwards, as every Docker Engine leaves it.
    """
    name = f"churn{os.getpid()}"
    # Set apart for benchmarks of network devices (RFC 2544), so no real network is hidden. A run that
    # was killed has left its bridge, whose network nothing would reach through another.
    taken = _run(["ip", "-brief", "address"])
    networks = (f"198.18.{(os.getpid() + more) % 256}" for more in range(256))
    network = next(network for network in networks if f" {network}.1/" not in taken)
    subnet = ["--source", f"{network}.0/24"]
    rules = [
        ["nat", "POSTROUTING", *subnet, "!", "--out-interface", name, "--jump", "MASQUERADE"],
        # An engine that once ran here may have left a policy that drops.
        ["filter", "FORWARD", "--in-interface", name, "--jump", "ACCEPT"],
        ["filter", "FORWARD", "--out-interface", name, "--jump", "ACCEPT"],
    ]
    with ExitStack() as undo:
        _run(["ip", "link", "add", name, "type", "bridge"])
        undo.callback(_run, ["ip", "link", "delete", name])
        _run(["ip", "address", "add", f"{network}.1/24", "dev", name])
        _run(["ip", "link", "set", name, "up"])
        for table, *rule in rules:
            change = ["iptables", "--wait", "--table", table]
            _run([*change, "--insert", *rule])
            undo.callback(_run, [*change, "--delete", *rule])
        yield name


@contextmanager
def _registry(auth: dict[str, Any]) -> Iterator[str]:
    """Yield the address of a registry that asks for what `auth` says in its own terms."""
    _need("docker-registry", "no registry can be started")
    with _scratch() as folder:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        settings = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
            "http": {"addr": address},
            "auth": auth,
        }
        # Every JSON is YAML, which the registry reads.
        file = folder / "config.yml"
        file.write_text(json.dumps(settings), encoding="utf-8")
        command = ["docker-registry", "serve", str(file)]
        with _running(command, folder / "log", lambda: _registry_answers(address)):
            yield address


def _registry_answers(address: str) -> bool:
    # A proxy of this machine's environment knows nothing of its loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(f"http://{address}/v2/", timeout=5).close()
    except urllib.error.HTTPError as denied:
        denied.close()
        return denied.code == 401
    except OSError:
        return False
    return True


def _import_debian(client: docker.DockerClient, folder: Path) -> None:
    """Give the engine a small Debian with Python, from the cache if it is there."""
    cache = Path(os.environ.get(CACHE_VARIABLE) or folder)
    archive = cache / "debian-bookworm.tar"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _archive_debian(folder / "debian", archive)
    repository, tag = DEBIAN_IMAGE.split(":")
    client.api.import_image_from_file(str(archive), repository, tag)


def _archive_debian(root: Path, archive: Path) -> None:
    """Install Debian into a folder, which takes about 45 seconds, and pack it."""
    _need("debootstrap", "no base image can be made")
    include = f"--include={','.join(PACKAGES)}"
    _run(["debootstrap", "--variant=minbase", include, "bookworm", str(root), _debian_mirror()])
    # A run that ends here must not leave half an archive to the next.
    part = archive.with_suffix(f".{os.getpid()}")
    excluded = [f"--exclude=./{path}/*" for path in UNREAD]
    _run(["tar", "--create", "--file", str(part), "--directory", str(root), *excluded, "."])
    part.rename(archive)


def _debian_mirror() -> str:
    """Return the address of Debian bookworm's main archive in this machine's apt sources."""
    wanted = ["Codename: bookworm", "Component: main", "Identifier: Packages"]
    told = _run(["apt-get", "indextargets", "--format", "$(SITE)", *wanted]).split()
    if not told:
        raise EngineMissing("no base image can be made: no Debian bookworm in the apt sources")
    return told[0]


def _add_machine_settings(client: docker.DockerClient, folder: Path) -> None:
    """Make the base image: Debian, with this machine's way to the package index."""
    context = folder / "context"
    context.mkdir()
    steps = [f"FROM {DEBIAN_IMAGE}"]
    copied = {
        Path(os.environ.get("SSL_CERT_FILE", CERTIFICATES)): CERTIFICATES,
        Path("/etc/pip.conf"): "/etc/pip.conf",
    }
    for source, target in copied.items():
        if source.is_file():
            shutil.copyfile(source, context / source.name)
            steps.append(f"COPY {source.name} {target}")
    variables = dict.fromkeys(CERTIFICATE_VARIABLES, CERTIFICATES)
    variables |= {name: os.environ[name] for name in INDEX_VARIABLES if name in os.environ}
    steps += [f"ENV {name}={json.dumps(value)}" for name, value in variables.items()]
    steps.append('CMD ["python3"]')
    (context / "Dockerfile").write_text("\n".join(steps) + "\n", encoding="utf-8")
    client.images.build(path=str(context), tag=BASE_IMAGE, rm=True, forcerm=True)


@contextmanager
def _running(command: list[str], log: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """Keep a server running from when it is ready to the end of this context."""
    # The kernel ends it should the tests be killed. A session of its own spares it their Ctrl-C.
    guarded = ["setpriv", "--pdeathsig", "TERM", *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            guarded,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise EngineMissing(f"{command[0]} does not start: {' '.join(last)}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _scratch() -> Iterator[Path]:
    """Yield a temporary folder, and clear it of what an engine has left mounted there."""
    # Unix sockets allow 107 characters: pytest's own temporary folders may be too deep.
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name).resolve()
        try:
            yield folder
        finally:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
            for point in reversed([line.split()[1] for line in mounts]):
                if folder in Path(point).parents:
                    _run(["umount", point])


def _need(program: str, otherwise: str) -> None:
    """Raise `EngineMissing` unless root can run the program."""
    if os.geteuid():
        raise EngineMissing(f"{otherwise}: only root can run {program}")
    if not shutil.which(program):
        raise EngineMissing(f"{otherwise}: {program} is not installed")


def _run(command: list[str]) -> str:
    """Run a command and return what it printed; `EngineMissing` with its last line if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise EngineMissing(f"{command[0]} exited {done.returncode}: {' '.join(last)}")
    return done.stdout
