"""The Helm chart by Helm's own engine: what it refuses, and that its resources are valid and fit each other."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from breakeven.gateway.config.load import load_config
from tests.support.processes import ROOT
from tests.support.real import client_python, program

CHART = ROOT / "deploy/helm/breakeven"
# The oldest one that the chart admits, one that many run, and the newest one whose schemas are known.
VERSIONS = ["1.27", "1.32", "1.37"]
EXAMPLE = yaml.safe_load((CHART / "example-values.yaml").read_text())


def answered(values: dict[str, Any]) -> dict[str, Any]:
    """What Helm says to these values: see helm_chart.py."""
    asked = json.dumps({"chart": str(CHART), "values": values})
    script = Path(__file__).parent / "helm_chart.py"
    done = subprocess.run(
        [str(client_python("helm")), str(script)], input=asked, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def rendered(**changes: Any) -> list[dict[str, Any]]:
    """The resources of the example's values, with these changes."""
    answer = answered({**EXAMPLE, **changes})
    assert "error" not in answer, answer["error"]
    texts = [text for path, text in answer["manifests"].items() if path.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def one(resources: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [resource for resource in resources if resource["kind"] == kind]
    return found


@pytest.fixture(scope="module")
def whole() -> list[dict[str, Any]]:
    """Everything that the chart can make."""
    tls = {"enabled": True, "className": "nginx", "tlsSecret": "breakeven-tls"}
    return rendered(
        ingress=tls,
        monitoring={"enabled": True, "labels": {"release": "prom"}, "metricsKey": {"secret": "metrics", "key": "key"}},
        tolerations=[{"key": "spot", "operator": "Exists"}],
        imagePullSecrets=[{"name": "registry"}],
        priorityClassName="high",
    )


def test_the_linter_has_nothing_to_say() -> None:
    answer = answered(EXAMPLE)
    assert answer["lint"]["errors"] == []
    assert {message["error"] for message in answer["lint"]["messages"]} <= {"icon is recommended"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "config"),
        ({**EXAMPLE, "config": {**EXAMPLE["config"], "teachr": {}}}, "teachr"),
        ({**EXAMPLE, "config": {**EXAMPLE["config"], "road": {"floor": "high"}}}, "floor"),
        ({**EXAMPLE, "config": {**EXAMPLE["config"], "server": {}}}, "server: {host: 0.0.0.0}"),
        ({**EXAMPLE, "config": {**EXAMPLE["config"], "auth": {}}}, "config.auth.keys: empty"),
        ({**EXAMPLE, "secretEnv": {}}, "names TEACHER_API_KEY, which is not in secretEnv"),
        ({**EXAMPLE, "replica": 3}, "replica"),
        ({**EXAMPLE, "secretEnv": {"TEACHER_API_KEY": {"secret": "breakeven"}}}, "key"),
    ],
)
def test_values_that_cannot_work_are_refused_before_anything_is_installed(values: dict[str, Any], named: str) -> None:
    assert named in answered(values)["error"]


@pytest.mark.parametrize("version", VERSIONS)
def test_resources_are_valid(whole: list[dict[str, Any]], version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is absent; install extra test")
    kinds = {resource["kind"] for resource in whole}
    assert kinds >= {"StatefulSet", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress", "NetworkPolicy"}
    assert "Secret" not in kinds, "Secrets are created by the user"
    names = [(resource["kind"], resource["metadata"]["name"]) for resource in whole]
    assert len(names) == len(set(names))
    for resource in whole:
        if not resource["apiVersion"].startswith("monitoring."):  # types of the Prometheus operator, not of Kubernetes
            validator.validate(resource, version, strict=True)


def test_resources_refer_to_each_other(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    pod = one(whole, "StatefulSet")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    (tmp_path / "breakeven.yaml").write_text(
        next(resource["data"]["breakeven.yaml"] for resource in whole if "breakeven.yaml" in resource.get("data", {}))
    )
    config = load_config(tmp_path / "breakeven.yaml")
    # In a pod the gateway listens on all interfaces, so it needs client keys.
    assert config.server.host == "0.0.0.0"
    assert config.auth.keys
    assert pod["spec"]["terminationGracePeriodSeconds"] > config.server.drain_seconds
    assert container["ports"][0]["containerPort"] == config.server.port
    secrets = {env["name"] for env in container["env"] if "valueFrom" in env}
    assert secrets == {config.teacher.api_key_env, config.admin.key_env, "PGPASSWORD"}
    assert config.ledger.journal is not None
    assert any(config.ledger.journal.startswith(mount["mountPath"]) for mount in container["volumeMounts"])
    labels = pod["metadata"]["labels"].items()
    services = [resource for resource in whole if resource["kind"] == "Service"]
    assert all(service["spec"]["selector"].items() <= labels for service in services)
    for kind in ("StatefulSet", "PodDisruptionBudget"):
        assert one(whole, kind)["spec"]["selector"]["matchLabels"].items() <= labels
    assert one(whole, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels
    scraped = one(whole, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    assert len([service for service in services if scraped <= service["metadata"]["labels"].items()]) == 1
    backend = one(whole, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"]
    assert backend in {service["metadata"]["name"] for service in services}


def test_values_are_what_was_written() -> None:
    """Large numbers stay whole, and names that YAML reads as something else stay names."""
    found = rendered(
        env={"BREAKEVEN__SERVER__MAX_BODY_BYTES": 104857600, "SHARE": 0.5, "ON": True, "TEXT": 'a "b"\n: #'},
        ingress={"enabled": True, "className": "on", "tlsSecret": "123"},
        priorityClassName="yes",
        journal={"storageClass": "1e3"},
    )
    stateful = one(found, "StatefulSet")["spec"]
    pod = stateful["template"]["spec"]
    env = {each["name"]: each["value"] for each in pod["containers"][0]["env"] if "value" in each}
    assert env.pop("OMP_NUM_THREADS") == "1"
    assert env == {
        "BREAKEVEN__SERVER__MAX_BODY_BYTES": "104857600", "SHARE": "0.5", "ON": "true", "TEXT": 'a "b"\n: #'
    }  # fmt: skip
    assert pod["priorityClassName"] == "yes"
    assert stateful["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "1e3"
    ingress = one(found, "Ingress")["spec"]
    assert (ingress["ingressClassName"], ingress["tls"][0]["secretName"]) == ("on", "123")


def test_what_the_environment_gives_may_be_missing_in_the_config() -> None:
    config = {name: part for name, part in EXAMPLE["config"].items() if name not in ("server", "auth")}
    rest = {"BREAKEVEN__AUTH__KEYS_FILE": "/etc/keys/keys.jsonl", "BREAKEVEN__SERVER__HOST": "0.0.0.0"}
    assert rendered(config=config, env=rest)


def test_a_changed_config_restarts_the_pods() -> None:
    notes = [
        one(rendered(config={**EXAMPLE["config"], "economics": {"investment_usd": usd}}), "StatefulSet")["spec"][
            "template"
        ]["metadata"]["annotations"]
        for usd in (1, 1, 2)
    ]
    assert notes[0] == notes[1] != notes[2]


def test_the_operator_gets_rules_that_promtool_accepts(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    groups = one(whole, "PrometheusRule")["spec"]["groups"]
    expected = [yaml.safe_load((ROOT / "deploy/prometheus" / name).read_text()) for name in ("rules.yml", "alerts.yml")]
    assert groups == [group for document in expected for group in document["groups"]]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    command = [program("promtool"), "check", "rules", str(tmp_path / "rules.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_where_the_operator_is_not_there_is_nothing_of_it() -> None:
    """Helm's engine knows no kinds but Kubernetes' own unless a cluster says so."""
    kinds = {resource["kind"] for resource in rendered()}
    assert not kinds & {"ServiceMonitor", "PrometheusRule"}


def test_each_dashboard_is_a_config_map_that_grafana_finds(whole: list[dict[str, Any]]) -> None:
    maps = [resource for resource in whole if resource["metadata"]["labels"].get("grafana_dashboard") == "1"]
    found = {name: text for one_map in maps for name, text in one_map["data"].items()}
    files = {path.name: path for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")}
    assert {name: json.loads(text) for name, text in found.items()} == {
        name: json.loads(path.read_text()) for name, path in files.items()
    }


def test_a_fixed_number_of_replicas_without_the_autoscaler() -> None:
    found = rendered(autoscaling={"enabled": False}, replicas=3, image={"digest": "sha256:" + "0" * 64})
    assert one(found, "StatefulSet")["spec"]["replicas"] == 3
    assert "HorizontalPodAutoscaler" not in {resource["kind"] for resource in found}
    image = one(found, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.example.com/breakeven@sha256:" + "0" * 64
