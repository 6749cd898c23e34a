"""The schema of the Helm chart's values: its own, and that of the config, which is one of them."""

from __future__ import annotations

import json
from typing import Any

from breakeven.gateway.config.schema import Config

_STRING = {"type": "string"}
_BOOLEAN = {"type": "boolean"}
_STRINGS = {"type": "object", "additionalProperties": _STRING}
_OBJECT = {"type": "object"}
_COUNT = {"type": "integer", "minimum": 1}
# The syntax of a quantity, such as 512Mi, is checked by Kubernetes.
_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
_FROM_SECRET = {
    "type": "object",
    "properties": {"secret": {"type": "string", "minLength": 1}, "key": {"type": "string", "minLength": 1}},
    "required": ["secret", "key"],
    "additionalProperties": False,
}


def _section(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


_VALUES = {
    # What Helm itself gives to every chart, also as a part of another one.
    "global": _OBJECT,
    "image": _section(
        repository=_STRING, tag=_STRING, digest=_STRING, pullPolicy={"enum": ["Always", "IfNotPresent", "Never"]}
    ),
    "imagePullSecrets": {"type": "array", "items": _section(name=_STRING)},
    "replicas": _COUNT,
    "secretEnv": {"type": "object", "additionalProperties": _FROM_SECRET},
    "env": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    "journal": _section(size=_STRING, storageClass=_STRING),
    "resources": _OBJECT,
    "autoscaling": _section(
        enabled=_BOOLEAN, minReplicas=_COUNT, maxReplicas=_COUNT, cpuPercent={"type": "integer", "minimum": 1}
    ),
    "disruption": _section(enabled=_BOOLEAN, maxUnavailable={"type": ["integer", "string"]}),
    "networkPolicy": _section(enabled=_BOOLEAN),
    "service": _section(type={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}, port=_PORT, annotations=_STRINGS),
    "ingress": _section(enabled=_BOOLEAN, className=_STRING, annotations=_STRINGS, host=_STRING, tlsSecret=_STRING),
    "monitoring": _section(
        enabled={"enum": ["auto", True, False]},
        interval=_STRING,
        labels=_STRINGS,
        metricsKey=_section(secret=_STRING, key=_STRING),
    ),
    "dashboards": _section(enabled=_BOOLEAN, labels=_STRINGS),
    "serviceAccount": _section(name=_STRING, annotations=_STRINGS),
    "podAnnotations": _STRINGS,
    "podLabels": _STRINGS,
    "nodeSelector": _STRINGS,
    "tolerations": {"type": "array", "items": _OBJECT},
    "affinity": _OBJECT,
    "priorityClassName": _STRING,
}


def schema() -> str:
    """The file values.schema.json of the chart, as JSON."""
    config = Config.model_json_schema()
    definitions = config.pop("$defs")
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart breakeven",
        "type": "object",
        "additionalProperties": False,
        "required": ["config"],
        "properties": {**_VALUES, "config": config},
        "$defs": definitions,
    }
    return json.dumps(document, indent=1) + "\n"
