"""TensorRT and TensorRT-RTX. What runs an engine needs a GPU; the rest is checked everywhere."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest

from throughline.contracts.errors import MissingExtra, Unavailable
from throughline.hardware import detect
from throughline.models.backends import devices, unusable
from throughline.models.session import open_model
from throughline.testing import networks
from throughline.testing.backends import BackendConformance
from throughline.testing.networks import Network

_LARGEST = 8


def build(module: str, network: Network) -> bytes:
    """An engine of the network, for batches up to 8 and pictures up to 16 x 16."""
    trt: Any = importlib.import_module(module)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    definition = builder.create_network(0)
    parser = trt.OnnxParser(definition, logger)
    assert parser.parse(network.onnx()), [str(parser.get_error(index)) for index in range(parser.num_errors)]
    profile = builder.create_optimization_profile()
    for spec in network.inputs:
        if any(isinstance(size, str) for size in spec.shape):
            profile.set_shape(spec.name, spec.concrete(1, 1), spec.concrete(4, 8), spec.concrete(_LARGEST, 16))
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(definition, config)
    assert engine is not None
    return bytes(memoryview(engine))


class _Engines(BackendConformance):
    device: ClassVar[str] = "gpu:0"

    def write(self, network: Network, folder: Path) -> Path:
        path = folder / f"{network.name}.engine"
        path.write_bytes(build(self.backend, network))
        return path

    def test_the_profile_limits_the_batch(self) -> None:
        session = self._compare(networks.CONVOLUTION, 2 * _LARGEST + 3)
        assert dict(session.get_performance_stats().batch_sizes) == {_LARGEST: 2, 3: 1}
        assert session.get_performance_stats().gpu_mb is None, "a closed session holds nothing"


@pytest.mark.gpu
@pytest.mark.skipif(find_spec("tensorrt") is None, reason="no NVIDIA GPU with tensorrt")
class TestTensorRt(_Engines):
    backend = "tensorrt"


@pytest.mark.gpu
@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="no NVIDIA GPU with tensorrt_rtx")
class TestTensorRtRtx(_Engines):
    backend = "tensorrt_rtx"


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt_rtx"])
def test_its_file_imports_nothing_until_it_is_used(backend: str) -> None:
    code = (
        f"import sys, throughline.models.backends.{backend} as file; file.PLUGIN;"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'tensorrt', 'tensorrt_rtx', 'torch'}))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.skipif(bool(detect().gpus), reason="there is a GPU here")
@pytest.mark.parametrize(("backend", "magic"), [("tensorrt", b"ftrt"), ("tensorrt_rtx", b"vtrt")])
def test_without_a_gpu_it_says_what_is_missing(tmp_path: Path, backend: str, magic: bytes) -> None:
    engine = tmp_path / "model.engine"
    engine.write_bytes(magic + bytes(12) + (1024).to_bytes(8, "little") + bytes([11, 4, 0, 0]) + bytes(1024))
    assert devices(backend) == ()
    why = unusable(backend)
    assert why is not None
    if find_spec(backend) is None:
        assert isinstance(why, MissingExtra)
        assert why.fix == "pip install 'throughline[tensorrt]'"
    else:
        assert "needs an NVIDIA GPU" in why.problem
    with pytest.raises(Unavailable, match=f"backend '{backend}' needs"):
        open_model(engine, trust=True)


@pytest.mark.skipif(bool(detect().gpus), reason="there is a GPU here")
def test_without_a_driver_the_memory_it_needs_is_not_there() -> None:
    from throughline.models.backends._cuda import Device

    with pytest.raises(Unavailable, match="NVIDIA driver"):
        Device(0)
