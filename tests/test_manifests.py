"""What goes to a cluster: rendered as a promotion does it, valid, hardened, watched, explained."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Bake
from kubernetes_validate.utils import ValidationError, validate

Manifest = dict[str, Any]

# The oldest release of Kubernetes that knows every field here, and the newest whose schemas are had.
KUBERNETES = ("1.30", "1.37")
VERSION = "0123456789ab-01234567"
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
PINNED = re.compile(r"[a-z0-9./:_-]+:[0-9a-f]{12}-[0-9a-f]{8}@sha256:[0-9a-f]{64}")
METRIC = re.compile(r"(?<![\w:])churn_\w+")
BOUND_OF = re.compile(r"The line is the bound of (?:the alert )?(\w+)")

ANSWERS = {
    "as they are offered": {},
    "a registry with a port": {"registry": "localhost:5000/team/models"},
    "an odd project": {"project": "Retention.Score-2", "package": "retention__score_2"},
    "long names": {"project": "p" * 50, "package": "c" * 50},
}

needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not here")
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool, of Debian's package prometheus, is not here"
)


@dataclass(frozen=True)
class Deploy:
    """The manifests of a generated repository.

    Parameters
    ----------
    repository : Path
    name : str
        What every object is called.
    image : str
        The name that a promotion replaces.
    """

    repository: Path
    name: str
    image: str

    @classmethod
    def of(cls, repository: Path) -> Deploy:
        """Return those of a repository."""
        base = repository / "deploy/base/deployment.yaml"
        deployment = yaml.safe_load(base.read_text(encoding="utf-8"))
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        return cls(repository, deployment["metadata"]["name"], container["image"])

    def file(self, name: str) -> Path:
        """Return a file of the folder deploy/."""
        return self.repository / "deploy" / name

    def read(self, name: str) -> list[Manifest]:
        """Return the objects in a file of the folder deploy/."""
        return list(yaml.safe_load_all(self.file(name).read_text(encoding="utf-8")))

    @property
    def environments(self) -> list[str]:
        """Those with an overlay."""
        return sorted(path.name for path in self.file("overlays").iterdir())

    def rendered(self, environment: str, scratch: Path) -> str:
        """Render an environment with a release's image, as a promotion does it."""
        folder = scratch / "rendering"
        folder.mkdir(exist_ok=True)
        image = {"name": self.image, "newName": self.image, "newTag": VERSION, "digest": DIGEST}
        layer = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(self.file(f"overlays/{environment}"), folder)],
            "images": [image],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(layer), encoding="utf-8")
        command = ["kubectl", "kustomize", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module", params=ANSWERS)
def deploy(bake: Bake, request: pytest.FixtureRequest) -> Deploy:
    """Return the manifests of a repository that was generated with usual or odd answers."""
    return Deploy.of(bake(platform="kubernetes", **ANSWERS[request.param]))


@pytest.fixture(scope="module")
def usual(bake: Bake) -> Deploy:
    """Return the manifests as they are offered."""
    return Deploy.of(bake(platform="kubernetes"))


@pytest.fixture(params=["staging", "prod"])
def objects(deploy: Deploy, tmp_path: Path, request: pytest.FixtureRequest) -> list[Manifest]:
    """Return what a promotion to an environment applies."""
    return list(yaml.safe_load_all(deploy.rendered(request.param, tmp_path)))


def of_kind(objects: list[Manifest], kind: str) -> Manifest:
    """Return the one object of a kind."""
    [found] = [each for each in objects if each["kind"] == kind]
    return found


def pod(objects: list[Manifest]) -> Manifest:
    """Return the pod template's specification."""
    specification: Manifest = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    return specification


def invalid(manifest: Manifest, version: str) -> str:
    """Say what Kubernetes' schemas have against an object; unknown fields are refused too."""
    try:
        validate(manifest, version, strict=True)
    except ValidationError as error:
        return str(error.message)
    return ""


@needs_kubectl
def test_every_container_is_pinned(deploy: Deploy, objects: list[Manifest]) -> None:
    assert "initContainers" not in pod(objects)
    [server] = pod(objects)["containers"]
    assert server["name"] == "server"
    assert server["image"] == f"{deploy.image}:{VERSION}@{DIGEST}"
    assert PINNED.fullmatch(server["image"])


def test_the_image_to_be_replaced_is_the_one_that_is_pushed(deploy: Deploy) -> None:
    policy = (deploy.repository / "release.toml").read_text(encoding="utf-8")
    assert tomllib.loads(policy)["image"]["repository"] == deploy.image
    assert deploy.image == deploy.image.lower()


@needs_kubectl
@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_what_kubernetes_expects(objects: list[Manifest], version: str) -> None:
    assert len(objects) == 6
    for each in objects:
        assert invalid(each, version) == "", each["kind"]


@needs_kubectl
def test_a_misspelt_field_and_a_wrong_type_would_be_found(objects: list[Manifest]) -> None:
    misspelt = copy.deepcopy(of_kind(objects, "Deployment"))
    misspelt["spec"]["template"]["spec"]["securityContext"]["runAsNonroot"] = True
    assert "runAsNonroot" in invalid(misspelt, KUBERNETES[0])
    mistyped = copy.deepcopy(of_kind(objects, "HorizontalPodAutoscaler"))
    mistyped["spec"]["minReplicas"] = "two"
    assert "two" in invalid(mistyped, KUBERNETES[0])


@needs_kubectl
def test_the_objects_find_one_another(objects: list[Manifest]) -> None:
    deployment = of_kind(objects, "Deployment")
    name = deployment["metadata"]["name"]
    [namespace] = {each["metadata"]["namespace"] for each in objects}
    assert {each["metadata"]["name"] for each in objects} == {name}
    assert namespace in (f"{name}-staging", f"{name}-prod")
    # The longest is that of a canary's control: a name that is a label too.
    assert len(f"{name}-control") <= 63 and len(namespace) <= 63
    by_name = {"app.kubernetes.io/name": name}
    assert of_kind(objects, "Service")["spec"]["selector"] == by_name
    assert of_kind(objects, "PodDisruptionBudget")["spec"]["selector"] == {"matchLabels": by_name}
    assert of_kind(objects, "NetworkPolicy")["spec"]["podSelector"] == {"matchLabels": by_name}
    spread = pod(objects)["topologySpreadConstraints"]
    assert [each["labelSelector"] for each in spread] == [{"matchLabels": by_name}] * 2
    stable = by_name | {"track": "stable"}
    assert deployment["spec"]["selector"] == {"matchLabels": stable}
    assert deployment["spec"]["template"]["metadata"]["labels"] == stable
    target = of_kind(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    assert (
        pod(objects)["serviceAccountName"] == of_kind(objects, "ServiceAccount")["metadata"]["name"]
    )


@needs_kubectl
def test_a_rolling_change_and_a_drained_node_leave_servers(objects: list[Manifest]) -> None:
    deployment, scale = of_kind(objects, "Deployment"), of_kind(objects, "HorizontalPodAutoscaler")
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert of_kind(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert 2 <= scale["spec"]["minReplicas"] < scale["spec"]["maxReplicas"]
    # The autoscaler would be overruled at every release.
    assert "replicas" not in deployment["spec"]


@needs_kubectl
def test_the_environments_differ_in_size(usual: Deploy, tmp_path: Path) -> None:
    assert usual.environments == ["prod", "staging"]
    sizes = []
    for environment in ("staging", "prod"):
        objects = list(yaml.safe_load_all(usual.rendered(environment, tmp_path)))
        scale = of_kind(objects, "HorizontalPodAutoscaler")["spec"]
        cpu = pod(objects)["containers"][0]["resources"]["requests"]["cpu"]
        sizes.append((scale["minReplicas"], scale["maxReplicas"], int(cpu.removesuffix("m"))))
    staging, prod = sizes
    assert all(less < more for less, more in zip(staging, prod, strict=True))


@needs_kubectl
def test_a_pod_gets_the_time_that_the_server_drains_in(
    deploy: Deploy, objects: list[Manifest]
) -> None:
    [server] = pod(objects)["containers"]
    drain = (deploy.repository / "toolkit/serving/drain.py").read_text(encoding="utf-8")
    [grace_s] = re.findall(r"^GRACE_S = ([0-9.]+)$", drain, re.M)
    pause_s = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod(objects)["terminationGracePeriodSeconds"] >= 2 * (pause_s + float(grace_s))


@needs_kubectl
def test_manifests_and_image_agree(deploy: Deploy, objects: list[Manifest]) -> None:
    dockerfile = (deploy.repository / "Dockerfile").read_text(encoding="utf-8")
    [user] = re.findall(r"^USER (.+)$", dockerfile, re.M)
    [port] = re.findall(r"^EXPOSE (\d+)$", dockerfile, re.M)
    context, [server] = pod(objects)["securityContext"], pod(objects)["containers"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert server["ports"] == [{"name": "http", "containerPort": int(port)}]
    [rule] = of_kind(objects, "NetworkPolicy")["spec"]["ingress"]
    assert rule == {"ports": [{"port": "http"}]}
    assert of_kind(objects, "NetworkPolicy")["spec"]["egress"] == []


def scan(folder: Path, ignored: Path) -> set[str]:
    """Return what the configuration scanner finds in a folder; its checks are its own, built in."""
    command = [
        *(str(Path(sys.executable).parent / "trivy"), "config", "--quiet", "--format", "json"),
        *("--skip-check-update", "--skip-version-check", "--disable-telemetry"),
        *("--cache-dir", str(folder.parent / "cache"), "--ignorefile", str(ignored), str(folder)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["Results"]
    assert {folder / each["Target"] for each in results} == set(folder.rglob("*.yaml"))
    return {fault["ID"] for each in results for fault in each.get("Misconfigurations", ())}


@needs_kubectl
def test_a_scanner_finds_nothing_that_is_not_explained(
    bake: Bake, usual: Deploy, tmp_path: Path
) -> None:
    folder = tmp_path / "scanned"
    for number, answers in enumerate(ANSWERS.values()):
        deploy = Deploy.of(bake(platform="kubernetes", **answers))
        rights = folder / str(number) / "rbac.yaml"
        rights.parent.mkdir(parents=True)
        shutil.copy(deploy.file("rbac.yaml"), rights)
        for environment in deploy.environments:
            rendered = deploy.rendered(environment, tmp_path)
            rights.with_name(f"{environment}.yaml").write_text(rendered, encoding="utf-8")
    [exceptions] = usual.read("trivyignore.yaml")
    explained = {each["id"] for each in exceptions["misconfigurations"] if each["statement"]}
    assert scan(folder, usual.file("trivyignore.yaml")) == set()
    # What is no longer found needs no exception.
    assert scan(folder, Path(os.devnull)) == explained


@needs_kubectl
def test_a_scanner_would_find_a_setting_that_is_gone(usual: Deploy, tmp_path: Path) -> None:
    folder = tmp_path / "scanned"
    folder.mkdir()
    rendered = usual.rendered("prod", tmp_path)
    softened = rendered.replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false")
    assert softened != rendered
    (folder / "rendered.yaml").write_text(softened, encoding="utf-8")
    assert scan(folder, usual.file("trivyignore.yaml")) == {"KSV-0014"}


@pytest.mark.parametrize(
    "setting",
    [
        *("maxUnavailable", "automountServiceAccountToken", "enableServiceLinks", "runAsNonRoot"),
        *("runAsUser", "runAsGroup", "seccompProfile", "allowPrivilegeEscalation"),
        *("readOnlyRootFilesystem", "capabilities", "limits", "terminationGracePeriodSeconds"),
    ],
)
def test_a_comment_says_why(usual: Deploy, setting: str) -> None:
    """Above the setting, or above those of its neighbours that it is one matter with."""
    lines = usual.file("base/deployment.yaml").read_text(encoding="utf-8").splitlines()
    [at] = [number for number, line in enumerate(lines) if line.strip().startswith(f"{setting}:")]
    assert any(line.strip().startswith("#") for line in lines[at - 3 : at])


@needs_kubectl
def test_a_stranger_adds_an_environment_by_copying_a_folder_and_a_table(
    bake: Bake, tmp_path: Path
) -> None:
    deploy = Deploy.of(bake(platform="kubernetes"))
    shutil.copytree(deploy.file("overlays/prod"), deploy.file("overlays/europe"))
    overlay = deploy.file("overlays/europe/kustomization.yaml")
    policy = deploy.repository / "release.toml"
    text = overlay.read_text(encoding="utf-8")
    assert text.count("churn-model-prod") == 1
    overlay.write_text(text.replace("churn-model-prod", "churn-model-europe"), encoding="utf-8")
    settings = policy.read_text(encoding="utf-8")
    [table] = re.findall(r"^\[environments\.prod\]\n(?:[^\[\n].*\n)+", settings, re.M)
    copied = table.replace("environments.prod", "environments.europe")
    copied = copied.replace("churn-model-prod", "churn-model-europe")
    policy.write_text(f"{settings}\n{copied}", encoding="utf-8")

    environments = tomllib.loads(policy.read_text(encoding="utf-8"))["environments"]
    assert list(environments) == ["staging", "prod", "europe"]
    assert environments["europe"]["platform"] == "kubernetes"
    objects = list(yaml.safe_load_all(deploy.rendered("europe", tmp_path)))
    assert {each["metadata"]["namespace"] for each in objects} == {"churn-model-europe"}
    assert PINNED.fullmatch(pod(objects)["containers"][0]["image"])
    # The two that were there are as they were.
    for environment in ("staging", "prod"):
        [other] = deploy.read(f"overlays/{environment}/kustomization.yaml")
        assert other["namespace"] == f"churn-model-{environment}"


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_rights_of_a_release_are_valid(deploy: Deploy, version: str) -> None:
    for each in deploy.read("rbac.yaml"):
        assert invalid(each, version) == "", each["kind"]


@needs_kubectl
def test_a_release_may_change_what_it_renders_and_nothing_else(
    deploy: Deploy, objects: list[Manifest]
) -> None:
    rendered = {re.sub("y$", "ie", each["kind"].lower()) + "s" for each in objects}
    rules = of_kind(deploy.read("rbac.yaml"), "Role")["rules"]

    def may(verb: str, *names: str) -> list[set[str]]:
        return [
            set(rule["resources"])
            for rule in rules
            if verb in rule["verbs"] and rule.get("resourceNames", []) == list(names)
        ]

    groups = {each["apiVersion"].rpartition("/")[0] for each in objects}
    tried = f"{deploy.name}-canary", f"{deploy.name}-control"
    assert may("create") == [{"pods/proxy", "services/proxy"}, rendered]
    assert may("patch", deploy.name, *tried) == [rendered]
    assert may("delete", deploy.name, *tried) == [{"deployments"}]
    [changing] = [rule for rule in rules if "patch" in rule["verbs"]]
    assert set(changing["apiGroups"]) == groups
    verbs = {verb for rule in rules for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch", "create", "patch", "delete"}
    assert not any("secrets" in rule["resources"] for rule in rules)


def test_agents_watch_the_branch_of_an_environment(deploy: Deploy) -> None:
    [overlay] = deploy.read("overlays/prod/kustomization.yaml")
    [application] = deploy.read("gitops/argo-application.yaml")
    assert application["spec"]["source"]["targetRevision"] == "env/prod"
    assert application["spec"]["destination"]["namespace"] == overlay["namespace"]
    source, kustomization = deploy.read("gitops/flux-kustomization.yaml")
    assert source["spec"]["ref"] == {"branch": "env/prod"}
    assert kustomization["spec"]["sourceRef"]["name"] == source["metadata"]["name"]
    assert {each["metadata"]["name"] for each in (application, source, kustomization)} == {
        overlay["namespace"]
    }
    addresses = {application["spec"]["source"]["repoURL"], source["spec"]["url"]}
    assert addresses == {f"https://git.example.com/team/{deploy.repository.name}.git"}


def promtool(*arguments: str, cwd: Path) -> None:
    """Run promtool; what it has against something fails the test."""
    command = ["promtool", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def alerts(deploy: Deploy) -> dict[str, str]:
    """Return every alert with its expression."""
    [rules] = deploy.read("monitoring/alerts.yaml")
    every = [rule for group in rules["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule["expr"] for rule in every if "alert" in rule}


def expressions(deploy: Deploy) -> Iterator[str]:
    """Yield every expression of the dashboard, for an environment."""
    dashboard = json.loads(deploy.file("monitoring/dashboard.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$namespace", "churn-model-prod")


@needs_promtool
def test_the_alerts_are_valid_and_fire_when_they_should(usual: Deploy) -> None:
    folder = usual.file("monitoring")
    promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml", cwd=folder)
    promtool("test", "rules", "alerts.test.yaml", cwd=folder)


@needs_promtool
def test_prometheus_understands_how_it_is_told_to_find_the_pods(
    usual: Deploy, tmp_path: Path
) -> None:
    page = (usual.repository / "docs/kubernetes.md").read_text(encoding="utf-8")
    [settings] = re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)
    # Debian builds its promtool without what knows clusters.
    found = "kubernetes_sd_configs:\n      - role: pod\n"
    assert found in settings
    settings = settings.replace(found, "static_configs: []\n")
    (tmp_path / "prometheus.yaml").write_text(settings, encoding="utf-8")
    promtool("check", "config", "--syntax-only", "prometheus.yaml", cwd=tmp_path)


def test_the_page_tells_every_alert(usual: Deploy) -> None:
    page = (usual.repository / "docs/kubernetes.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(Churn\w+)`", page)) == set(alerts(usual))


def test_every_alert_is_seen_to_fire_and_seen_to_be_quiet(usual: Deploy) -> None:
    [trials] = usual.read("monitoring/alerts.test.yaml")
    seen = [
        (trial["alertname"], bool(trial["exp_alerts"]))
        for test in trials["tests"]
        for trial in test["alert_rule_test"]
    ]
    assert set(seen) == {(name, fires) for name in alerts(usual) for fires in (True, False)}


@needs_promtool
def test_the_dashboard_asks_prometheus_what_it_understands(usual: Deploy, tmp_path: Path) -> None:
    rules = [{"record": f"panel_{n}", "expr": asked} for n, asked in enumerate(expressions(usual))]
    document = {"groups": [{"name": "dashboard", "rules": rules}]}
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    promtool("check", "rules", "panels.yaml", cwd=tmp_path)


def test_alerts_and_dashboard_use_what_the_server_counts_and_what_is_recorded(
    usual: Deploy,
) -> None:
    package = usual.repository / "toolkit/serving"
    counted: set[str] = set()
    for module in ("observation.py", "monitoring.py"):
        source = (package / module).read_text(encoding="utf-8")
        for name in re.findall(r'"(churn_\w+)"', source):
            counted |= {name, f"{name}_total", f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    [rules] = usual.read("monitoring/alerts.yaml")
    every = [rule for group in rules["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in every if "record" in rule}
    asked = "\n".join([*(rule["expr"] for rule in every), *expressions(usual)])
    assert set(METRIC.findall(asked)) <= counted
    assert set(re.findall(r"\w+:\w+:\w+", asked)) == recorded


def test_a_line_in_the_dashboard_is_the_bound_of_its_alert(usual: Deploy) -> None:
    dashboard = json.loads(usual.file("monitoring/dashboard.json").read_text(encoding="utf-8"))
    drawn = {}
    for panel in dashboard["panels"]:
        if match := BOUND_OF.search(panel["description"]):
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            drawn[match[1]] = steps[-1]["value"]
        else:
            assert "thresholds" not in panel["fieldConfig"]["defaults"]
    assert len(drawn) == 8
    bounds = {
        name: float(bound)
        for name, expression in alerts(usual).items()
        for bound in re.findall(r"> (\d+(?:\.\d+)?)(?:$|\n)", expression)[:1]
    }
    assert drawn == {name: bounds[name] for name in drawn}
