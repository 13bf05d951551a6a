"""Manifests for Kubernetes: copies of a server that come and go without losing a request.

A copy that is told to end says that it is not ready and goes on until everybody has heard, then answers what it has
accepted; Kubernetes waits for both. What a copy asks the cluster for was
measured with this very model, these threads and this batch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from throughline.plugins import Plugin
from throughline.serving.deploying import GRPC, HTTP, OPS, USER, Made, Order, serve_options
from throughline.serving.deploying._measured import Needs, measured

_THREADS: Final = 2
"""CPU threads of a copy, where nobody has said."""
_UNHEARD: Final = 5
"""Seconds until everybody has heard that a copy is leaving, and nobody sends it anything new."""
_DRAIN: Final = 30
"""Seconds in which it answers what it has accepted."""
_SERVER_MB: Final = 256
"""For the server around the model: its sockets, and requests that wait."""
_SPARE: Final = 1.25
_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9./_-]+", re.ASCII)
"""Text that reads as the same text in every version of YAML; what else there is gets quotes."""


def make(order: Order, folder: Path) -> Made:
    """Measure the model, and write a Deployment, a Service, an autoscaler and a disruption budget."""
    order = replace(order, threads=order.threads or _THREADS)
    needs = measured(order.model, order.threads or _THREADS, order.max_batch_size)
    for kind, manifest in manifests(order, needs).items():
        (folder / f"{kind}.yaml").write_text(_yaml(manifest), "utf-8")
    notes = []
    if needs.cores < needs.threads:
        notes.append(
            f"measured with {needs.threads} threads on {needs.cores} cores: where there are more, it is faster"
        )
    if "/" not in order.image:
        notes.append(f"{order.image} names no registry: give --image REGISTRY/NAME:TAG, here and to docker")
    image, beside = ("--name", order.name, "--image", order.image), f"{order.out}-image"
    commands = (
        ("throughline", "deploy", str(order.model.path), "--to", "docker", *image, "--out", beside),
        ("docker", "build", "--tag", order.image, beside),
        ("docker", "push", order.image),
        ("kubectl", "apply", "--filename", str(order.out)),
        ("kubectl", "rollout", "status", f"deployment/{order.name}"),
    )
    return Made(commands, str(needs), tuple(notes))


def manifests(order: Order, needs: Needs) -> dict[str, dict[str, Any]]:
    """The four objects by what they are called in files."""
    named = {"app.kubernetes.io/name": order.name}
    return {
        # it says nothing of replicas, which are the autoscaler's: applied again, it must not undo what that did
        "deployment": _object("apps/v1", "Deployment", order, {
            "revisionHistoryLimit": 5,
            "selector": {"matchLabels": named},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {
                    "labels": named,
                    "annotations": {
                        "throughline/model-sha256": order.model.sha256,
                        "throughline/measured": str(needs),
                        "prometheus.io/scrape": "true",
                        "prometheus.io/port": str(OPS),
                    },
                },
                "spec": _pod(order, needs, named),
            },
        }),
        "service": _object("v1", "Service", order, {
            "selector": named,
            "ports": [
                {"name": name, "port": port, "targetPort": name, "protocol": "TCP"}
                for name, port in (("http", HTTP), ("grpc", GRPC))
            ],
        }),
        "autoscaler": _object("autoscaling/v2", "HorizontalPodAutoscaler", order, {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": order.name},
            "minReplicas": order.replicas,
            "maxReplicas": order.max_replicas,
            "metrics": [{
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            }],
        }),
        "disruption-budget": _object("policy/v1", "PodDisruptionBudget", order, {
            "maxUnavailable": 1,
            "selector": {"matchLabels": named},
        }),
    }  # fmt: skip


def _object(version: str, kind: str, order: Order, spec: Mapping[str, Any]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": order.name, "app.kubernetes.io/managed-by": "throughline"}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": order.name, "labels": labels}, "spec": spec}


def _pod(order: Order, needs: Needs, named: Mapping[str, str]) -> dict[str, Any]:
    return {
        "terminationGracePeriodSeconds": _UNHEARD + _DRAIN,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": dict(named)},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        "containers": [{
            "name": "serve",
            "image": order.image,
            "args": [*serve_options(order), "--grace-s", str(_UNHEARD)],
            "ports": [
                {"name": name, "containerPort": port} for name, port in (("http", HTTP), ("grpc", GRPC), ("ops", OPS))
            ],
            "resources": resources(needs),
            "startupProbe": {**_probe("ready"), "periodSeconds": 2, "failureThreshold": 60},
            "readinessProbe": {**_probe("ready"), "periodSeconds": 5, "failureThreshold": 2},
            "livenessProbe": {**_probe("live"), "periodSeconds": 10, "failureThreshold": 3},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        }],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
    }  # fmt: skip


def resources(needs: Needs) -> dict[str, dict[str, str]]:
    """What a copy asks for, and has at most: as measured, with a quarter to spare, and room for the server."""
    memory = math.ceil((_SPARE * needs.memory_mb + _SERVER_MB) / 64) * 64
    most = 1000 * needs.threads
    busy = max(most // 2, min(most, math.ceil(10 * needs.busy_cores) * 100))  # a busy machine here hides half of it
    return {
        "requests": {"cpu": f"{busy}m", "memory": f"{memory}Mi"},
        "limits": {"cpu": f"{most}m", "memory": f"{2 * memory}Mi"},
    }


def _probe(state: str) -> dict[str, Any]:
    return {"httpGet": {"path": f"/v2/health/{state}", "port": "ops"}, "timeoutSeconds": 2}


def _yaml(body: Mapping[str, Any]) -> str:
    import yaml

    dumper = type("_Dumper", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})  # people read this: all in full

    def text(to: Any, value: str) -> Any:
        return to.represent_scalar("tag:yaml.org,2002:str", value, style=None if _PLAIN.fullmatch(value) else '"')

    yaml.add_representer(str, text, dumper)
    return str(yaml.dump(body, Dumper=dumper, sort_keys=False, default_flow_style=False, width=4096))


PLUGIN = Plugin(
    make=make,
    summary="a Deployment that scales, drains and was measured, a Service, an autoscaler and a disruption budget",
    needs=("yaml",),
    facts={"formats": ("onnx", "openvino")},
)
