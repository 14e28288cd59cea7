"""Which fields others have added to an object, and how a release takes them over."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from toolkit.release.platforms.managed_fields import additions, taken_over

OURS = "release-churn"
SERVER = 'k:{"name":"server"}'
PORT = 'k:{"port":81,"protocol":"TCP"}'
RESTARTED = "f:kubectl.kubernetes.io/restartedAt"


def entry(manager: str, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    """Return one entry of an object's owners, as `kubectl get --show-managed-fields` prints it."""
    named = {"manager": manager, "operation": "Update", "apiVersion": "apps/v1"}
    return {**named, **more, "fieldsType": "FieldsV1", "fieldsV1": fields}


def pods(containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return fields of a Deployment's pods."""
    spec = {"f:spec": {"f:containers": containers}} if containers else {}
    return {"f:spec": {"f:template": {**spec, **more}}}


APPLIED = entry(OURS, pods({SERVER: {".": {}, "f:name": {}, "f:image": {}}}), operation="Apply")
VARIABLE: dict[str, Any] = {".": {}, 'k:{"name":"FOO"}': {".": {}, "f:name": {}, "f:value": {}}}
SET = entry("kubectl-set", pods({SERVER: {"f:env": VARIABLE}}))
RESTART = entry(
    "kubectl-rollout",
    {"f:spec": {"f:template": {"f:metadata": {"f:annotations": {RESTARTED: {}}}}}},
)
SCALE = entry("kube-controller-manager", {"f:spec": {"f:replicas": {}}}, subresource="scale")
STATUS = entry(
    "kube-controller-manager",
    {
        "f:metadata": {"f:annotations": {".": {}, "f:deployment.kubernetes.io/revision": {}}},
        "f:status": {"f:conditions": {".": {}}, "f:observedGeneration": {}},
    },
    subresource="status",
)


def owned(*entries: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": "Deployment", "metadata": {"name": "churn", "managedFields": list(entries)}}


@pytest.mark.parametrize(
    ("added", "named"),
    [
        (SET, "spec template spec containers server env FOO, added by kubectl-set"),
        (
            entry("kubectl-patch", pods({'k:{"name":"spy"}': {".": {}, "f:image": {}}})),
            "spec template spec containers spy, added by kubectl-patch",
        ),
        (
            entry("kubectl-edit", pods({SERVER: {"f:args": {}}})),
            "spec template spec containers server args, added by kubectl-edit",
        ),
        (
            entry("node-fetch", pods({}, **{"f:metadata": {"f:labels": {"f:a": {}}}})),
            "spec template metadata labels a, added by node-fetch",
        ),
        (
            entry("kubectl-edit", {"f:spec": {"f:ports": {PORT: {".": {}}}}}),
            "spec ports 81/TCP, added by kubectl-edit",
        ),
        (
            entry("another", pods({SERVER: {"f:command": {}}}), operation="Apply"),
            "spec template spec containers server command, added by another",
        ),
        (entry("kubectl-edit", {"f:data": {"f:key": {}}}), "data key, added by kubectl-edit"),
    ],
)
def test_what_another_manager_has_added_is_named_and_then_ours(
    added: dict[str, Any], named: str
) -> None:
    one = owned(APPLIED, added, STATUS)
    assert additions(one, OURS) == [named]
    before = copy.deepcopy(one)
    owners = taken_over(one, OURS)
    assert owners is not None and one == before
    assert [each["manager"] for each in owners] == ["kube-controller-manager", OURS]
    assert owners[1]["operation"] == "Apply"
    after = owned(*owners)
    assert additions(after, OURS) == [] and taken_over(after, OURS) is None


@pytest.mark.parametrize(
    "others",
    [
        (),
        (STATUS,),
        (SCALE, STATUS),
        (RESTART,),
        (entry("kube-green", {"f:spec": {"f:replicas": {}}}, operation="Apply"),),
        (entry("kubectl-annotate", {"f:metadata": {"f:annotations": {"f:owner": {}}}}),),
    ],
)
def test_what_no_release_sets_is_no_addition(others: tuple[dict[str, Any], ...]) -> None:
    one = owned(APPLIED, *others)
    assert additions(one, OURS) == [] and taken_over(one, OURS) is None


def test_an_entry_is_divided_between_its_owner_and_us() -> None:
    edited = entry("kubectl-edit", pods({SERVER: {"f:env": VARIABLE}}))
    edited["fieldsV1"]["f:spec"]["f:replicas"] = {}
    edited["fieldsV1"]["f:metadata"] = {"f:annotations": {"f:owner": {}}}
    owners = taken_over(owned(edited, APPLIED), OURS)
    assert owners is not None
    theirs, ours = owners
    assert theirs["fieldsV1"] == {
        "f:spec": {"f:replicas": {}},
        "f:metadata": {"f:annotations": {"f:owner": {}}},
    }
    (server,) = ours["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"].values()
    assert server == {".": {}, "f:name": {}, "f:image": {}, "f:env": VARIABLE}


def test_what_we_have_never_applied_becomes_ours_as_an_apply() -> None:
    owners = taken_over(owned(SET), OURS)
    assert owners == [{**SET, "manager": OURS, "operation": "Apply"}]


def test_fields_of_another_version_of_the_type_stay_where_they_are() -> None:
    other = entry("kubectl-edit", {"f:spec": {"f:strange": {}}}, apiVersion="apps/v0")
    assert taken_over(owned(APPLIED, other), OURS) is None
    assert additions(owned(APPLIED, other), OURS) == ["spec strange, added by kubectl-edit"]
