"""The manifests: valid for Kubernetes' own schemas, safe to drain, and asking for what was measured."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from small_models import HOSTILE, order_of, write_model

from throughline.contracts.errors import InputError
from throughline.serving.deploying import TARGETS
from throughline.serving.deploying._measured import Needs, measured
from throughline.serving.deploying.kubernetes import _yaml, resources

KUBECTL = shutil.which("kubectl")
KINDS = {"autoscaler", "deployment", "disruption-budget", "service"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("kubernetes")
    out = folder / "out"
    out.mkdir()
    return out, TARGETS.make("kubernetes", order_of(write_model(folder / "m.onnx"), out, threads=1), out)


@pytest.fixture(scope="module")
def objects(made: tuple[Path, Any]) -> dict[str, Any]:
    return {path.stem: yaml.safe_load(path.read_text()) for path in made[0].iterdir()}


@pytest.mark.parametrize("version", ["1.25", kubernetes_validate.latest_version()])
def test_they_are_what_the_schemas_of_kubernetes_allow(objects: dict[str, Any], version: str) -> None:
    assert objects.keys() == KINDS
    for one in objects.values():
        kubernetes_validate.validate(one, version, strict=True)
    wrong = copy.deepcopy(objects["deployment"])
    wrong["spec"]["template"]["spec"]["containers"][0]["replicas"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):  # it does look
        kubernetes_validate.validate(wrong, version, strict=True)


def test_they_belong_together(objects: dict[str, Any]) -> None:
    template = objects["deployment"]["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert objects["deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["service"]["spec"]["selector"] == labels
    assert objects["disruption-budget"]["spec"]["selector"]["matchLabels"] == labels
    scaled = objects["autoscaler"]["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", objects["deployment"]["metadata"]["name"])
    assert objects["autoscaler"]["spec"]["minReplicas"] == 2
    assert "replicas" not in objects["deployment"]["spec"]  # applied again, it would undo what the autoscaler did
    (container,) = template["spec"]["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports == {"http": 8000, "grpc": 8001, "ops": 8002}
    assert {one["targetPort"] for one in objects["service"]["spec"]["ports"]} == {"http", "grpc"}
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {one["port"] for one in probes.values()} == {"ops"}
    assert {name: one["path"] for name, one in probes.items()} == {
        "startup": "/v2/health/ready", "readiness": "/v2/health/ready", "liveness": "/v2/health/live",
    }  # fmt: skip


def test_a_copy_is_nobody_and_has_time_to_end(objects: dict[str, Any]) -> None:
    pod = objects["deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    grace = float(container["args"][container["args"].index("--grace-s") + 1])
    readiness = container["readinessProbe"]
    assert pod["terminationGracePeriodSeconds"] >= grace + 30
    assert grace > 0
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= pod["terminationGracePeriodSeconds"]


def test_it_asks_for_what_was_measured(made: tuple[Path, Any], objects: dict[str, Any]) -> None:
    (container,) = objects["deployment"]["spec"]["template"]["spec"]["containers"]
    asked = container["resources"]
    told = objects["deployment"]["spec"]["template"]["metadata"]["annotations"]["throughline/measured"]
    assert told == made[1].measured
    peak = float(told.partition(" MB")[0].replace(",", ""))
    assert peak > 30
    assert int(asked["requests"]["memory"].removesuffix("Mi")) >= 1.25 * peak
    assert asked["limits"]["cpu"] == "1000m"
    assert container["args"][:6] == ["--max-batch-size", "8", "--max-latency-ms", "5", "--threads", "1"]


@given(st.floats(1, 1e5), st.floats(0, 64), st.integers(1, 64))
def test_no_limit_is_under_its_request_and_no_request_under_what_was_measured(
    memory: float, busy: float, threads: int
) -> None:
    found = resources(Needs(memory, busy, 1.0, 1.0, 8, threads, "onnxruntime on cpu", 64))
    asked, most = ({name: int(value.rstrip("Mim")) for name, value in found[kind].items()} for kind in found)
    assert memory < asked["memory"] <= most["memory"]
    assert min(1000 * busy, 1000 * threads) <= asked["cpu"] <= most["cpu"] == 1000 * threads


def test_a_larger_batch_of_larger_rows_needs_more_memory(tmp_path: Path) -> None:
    model = order_of(write_model(tmp_path / "m.onnx", shape=("batch", 3, 320, 320)), tmp_path).model
    small, large = measured(model, 1, 1), measured(model, 1, 32)
    assert (small.batch, large.batch) == (1, 32)
    assert large.memory_mb - small.memory_mb > 31 * 3 * 320 * 320 * 4 / 2**20  # the input alone takes this


def test_a_model_that_takes_text_cannot_be_measured(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    specs = [helper.make_tensor_value_info(name, TensorProto.STRING, ["batch"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", specs[:1], specs[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="cannot be measured"):
        TARGETS.make("kubernetes", order_of(tmp_path / "m.onnx", tmp_path), tmp_path)


TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(HOSTILE)
TREES = st.recursive(
    TEXT | st.booleans() | st.integers(), lambda one: st.lists(one, max_size=3) | st.dictionaries(TEXT, one, max_size=3)
)


@given(st.dictionaries(TEXT, TREES, max_size=3))
def test_whatever_is_written_is_read_back_as_it_was(tree: dict[str, Any]) -> None:
    assert yaml.safe_load(_yaml(tree)) == tree


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl")
def test_kubectl_reads_what_was_meant(made: tuple[Path, Any], objects: dict[str, Any], tmp_path: Path) -> None:
    words = {*HOSTILE, "yes", "No", "on", "~", "0x1F", "1:30", "08", ".5", "=", "<<", "2026-01-01", "TRUE", "n", "N"}
    texts = {f"k{number}": word for number, word in enumerate(sorted(words))}
    nasty = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "nasty"}, "data": texts}
    (tmp_path / "nasty.yaml").write_text(_yaml(nasty))
    for path, meant in [
        (tmp_path / "nasty.yaml", nasty),
        *((made[0] / f"{kind}.yaml", objects[kind]) for kind in KINDS),
    ]:
        told = subprocess.run(
            [str(KUBECTL), "annotate", "--local", "--filename", str(path), "--output", "json", "seen=yes"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        read = json.loads(told.stdout)
        assert read["metadata"].pop("annotations") == {"seen": "yes"}
        assert read == meant
