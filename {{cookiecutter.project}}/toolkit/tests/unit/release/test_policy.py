"""The release policy is read completely, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.release.errors import ConfigurationError
from toolkit.release.git import GitFailed
from toolkit.release.policy import ClusterEnvironment, ImagePolicy
from toolkit.release.policy_file import at_commit, load

GOOD = """
schema = 1
project = "churn"
serve = ["-m", "churn.serving"]
max_bundle_mb = 20
lease_s = 900

[environments.staging]
platform = "process"
host = "127.0.0.1"
port = 8101
instances = 2

[environments.prod]
platform = "process"
host = "127.0.0.1"
port = 8102
instances = 2

[environments.prod.approval]
needed = 1
signed = false

[environments.prod.canary]
instances = 1
windows = 10
window_s = 10
looks = 2
max_slowdown = 0.1
"""


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("schema = 1", "schema = 3", "schema must be 2"),
        ("instances = 2", "instances = 0", "instances must be at least 1"),
        ("instances = 2", 'instances = "2"', "instances must be of type int"),
        ("instances = 2", "instances = true", "instances must be of type int"),
        ("instances = 2", "instancse = 2", "instancse is not a setting"),
        ("instances = 2", "", "instances is missing"),
        ("max_bundle_mb", "max_bundel_mb", "max_bundel_mb is not a setting"),
        ("serve = [", "serve = [1, ", "serve must be a list of strings"),
        ("[environments.staging]", "[environments.staging", "it cannot be read"),
        ("signed = false", 'signed = "no"', "prod.approval.signed must be of type bool"),
        ("needed = 1", "needde = 1", "prod.approval.needde is not a setting"),
        ("needed = 1", 'needed = 2\nby = ["ada@example.com"]', "fewer people than are needed"),
        ("max_slowdown = 0.1", "max_slowdown = nan", "canary.max_slowdown must be a number"),
        ("instances = 1", "instances = 2", "must leave a server to compare with"),
        ("window_s = 10", "window_s = 60", "canary may take 1500 s, lease_s is 900"),
        ("instances = 2\n", "instances = 2\nsoak_minutes = 5\n", "no environment before it"),
        ("instances = 2\n", 'instances = 2\nnightly = "maybe"\n', "must be propose or promote"),
        ("[environments.prod.approval]", "[[freezes]]", "freezes.needed is not a setting"),
    ],
)
def test_a_policy_that_is_not_understood_is_refused(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    path = tmp_path / "release.toml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refusal:
        load(path)
    assert why in refusal.value.why
    assert refusal.value.exit_code == 2


def test_a_policy_without_environments_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "release.toml"
    path.write_text(GOOD.split("[environments.")[0], encoding="utf-8")
    with pytest.raises(ConfigurationError) as refusal:
        load(path)
    assert "names no environment" in refusal.value.why


IMAGE = '[image]\nrepository = "registry.example.com/models"\nmax_mb = 600\n'


def test_a_policy_may_have_an_image(tmp_path: Path) -> None:
    path = tmp_path / "release.toml"
    path.write_text(GOOD + IMAGE, encoding="utf-8")
    assert load(path).image == ImagePolicy("registry.example.com/models", 600)
    path.write_text(GOOD, encoding="utf-8")
    assert load(path).image is None


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (IMAGE.replace("600", '"600"'), "image.max_mb must be of type int"),
        (IMAGE.replace("max_mb", "max_gb"), "image.max_gb is not a setting"),
        (IMAGE.replace("max_mb = 600", ""), "image.max_mb is missing"),
    ],
)
def test_an_image_policy_that_is_not_understood_is_refused(
    tmp_path: Path, image: str, why: str
) -> None:
    path = tmp_path / "release.toml"
    path.write_text(GOOD + image, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refusal:
        load(path)
    assert why in refusal.value.why


CLUSTER = """
[environments.europe]
platform = "kubernetes"
cluster = "11111111-2222-3333-4444-555555555555"
namespace = "churn-europe"
timeout_s = 60

[environments.europe.canary]
instances = 1
"""


def test_an_environment_may_be_in_a_cluster(tmp_path: Path) -> None:
    path = tmp_path / "release.toml"
    path.write_text(GOOD + CLUSTER + IMAGE, encoding="utf-8")
    policy = load(path)
    europe = policy.environment("europe")
    assert isinstance(europe, ClusterEnvironment)
    assert (europe.namespace, europe.timeout_s, europe.agent) == ("churn-europe", 60, "")
    assert europe.after == "prod" and policy.root == tmp_path
    assert europe.place.startswith("namespace churn-europe of cluster 1111")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("timeout_s = 60", 'host = "127.0.0.1"', "europe.host is not a setting"),
        ("timeout_s = 60", "instances = 2", "europe.instances is not a setting"),
        ("timeout_s = 60", "ready_timeout_s = 2", "europe.ready_timeout_s is not a setting"),
        ("timeout_s = 60", "timeout_s = 300", "a change may take 1150 s with its undoing"),
        ('namespace = "churn-europe"\n', "", "europe.namespace is missing"),
        ("cluster = ", "cluters = ", "europe.cluters is not a setting"),
        ("timeout_s = 60", 'gitops = "jenkins"', "gitops must be argocd or flux, not 'jenkins'"),
        (
            "timeout_s = 60",
            'gitops = "flux"',
            "europe.canary is not possible: flux updates all pods",
        ),
        (IMAGE, "", "europe needs the image of a release"),
    ],
)
def test_an_environment_in_a_cluster_that_is_not_understood_is_refused(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    path = tmp_path / "release.toml"
    path.write_text((GOOD + CLUSTER + IMAGE).replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refusal:
        load(path)
    assert why in refusal.value.why


def test_a_cluster_is_no_setting_of_a_machine(tmp_path: Path) -> None:
    path = tmp_path / "release.toml"
    path.write_text(GOOD.replace("port = 8101", 'port = 8101\ncluster = "x"'), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refusal:
        load(path)
    assert "environments.staging.cluster is not a setting" in refusal.value.why


def test_an_unknown_environment_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "release.toml"
    path.write_text(GOOD, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refusal:
        load(path).environment("production")
    assert "release.toml has staging, prod" in refusal.value.why


FREEZE = """
[[freezes]]
name = "weekend"
environments = ["prod"]
begins = "Fri 16:00"
ends = "Mon 07:00"
time_zone = "Europe/Berlin"
"""


def test_a_policy_may_have_freezes(tmp_path: Path) -> None:
    path = tmp_path / "release.toml"
    path.write_text(GOOD + FREEZE, encoding="utf-8")
    (freeze,) = load(path).freezes
    assert (freeze.name, freeze.environments) == ("weekend", ("prod",))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("Europe/Berlin", "Europe/Atlantis", "'Europe/Atlantis' is not a time zone"),
        ("Fri 16:00", "Friday 16:00", "'Friday 16:00' is not a weekday with a time"),
        ("Fri 16:00", "Mon 07:00", "the same time of the week"),
        ('"Fri 16:00"', "2026-12-20T18:00:00", "must be two dates, or two weekdays"),
        ('["prod"]', '["production"]', "freeze 'weekend' names production"),
        ('name = "weekend"\n', "", "freezes.name is missing"),
    ],
)
def test_a_freeze_that_is_not_understood_is_refused(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    path = tmp_path / "release.toml"
    path.write_text(GOOD + FREEZE.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refusal:
        load(path)
    assert why in refusal.value.why


def test_the_policy_of_a_release_is_that_of_its_commit(tmp_path: Path) -> None:
    today = load(_written(tmp_path, GOOD))
    old = GOOD.replace("churn.serving", "older.serving")
    kept = {"c0ffee:release.toml": old.encode()}
    assert at_commit(kept.__getitem__, "c0ffee", today).serve == ("-m", "older.serving")


@pytest.mark.parametrize("content", [None, b"", b"schema = 0", b"\xff"])
def test_where_a_commit_has_no_policy_that_can_be_read_today_s_counts(
    tmp_path: Path, content: bytes | None
) -> None:
    def read(name: str) -> bytes:
        if content is None:
            raise GitFailed(f"{name} does not exist")
        return content

    today = load(_written(tmp_path, GOOD))
    assert at_commit(read, "c0ffee", today) is today


def _written(folder: Path, text: str) -> Path:
    path = folder / "release.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_whose_signatures_are_asked(tmp_path: Path) -> None:
    table = '[signing]\nevents = true\nby = ["release@example.com"]\n'
    path = tmp_path / "release.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert load(path).signers == ()
    path.write_text(GOOD + table, encoding="utf-8")
    assert load(path).signers == ("release@example.com",)
    path.write_text(GOOD + table.replace("true", "false"), encoding="utf-8")
    assert load(path).signers == ()


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("events = true", "signing.by is missing"),
        ("events = true\nby = []", "signing.by must be a list of strings"),
        ('events = "yes"\nby = ["a@b"]', "signing.events must be of type bool"),
        ('by = ["a@b"]', "signing.events is missing"),
        ('events = true\nby = ["a@b"]\ntags = true', "signing.tags is not a setting"),
    ],
)
def test_a_mistake_about_signatures_is_refused(tmp_path: Path, table: str, why: str) -> None:
    path = tmp_path / "release.toml"
    path.write_text(f"{GOOD}[signing]\n{table}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as refusal:
        load(path)
    assert why in refusal.value.why
