"""Judge the names that a pickle would import: part of any weights file, part of some framework, or an attack.

``WEIGHTS`` is the allow-list, and the boundary: the throwaway child can build
nothing else. It is narrower than PyTorch's own, which also admits tensor
subclasses and constructors that take a size from the file. The rest of this
file only decides which words a refusal uses.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

_words = str.split
_DTYPES = (
    "float16 float32 float64 bfloat16 half float double float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
    "int8 int16 int32 int64 uint8 uint16 uint32 uint64 short int long bool complex64 complex128"
)
_STORAGES = "Float Double Half BFloat16 Byte Char Short Int Long Bool ComplexFloat ComplexDouble Untyped"

WEIGHTS = frozenset(
    [
        "collections.OrderedDict",
        "torch.Size",
        "torch.device",
        "torch.nn.parameter.Parameter",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_tensor_v3",
        "torch.storage.UntypedStorage",
        "_codecs.encode",
        "builtins.set",
        *(f"torch.{dtype}" for dtype in _DTYPES.split()),
        *(f"torch.{storage}Storage" for storage in _STORAGES.split()),
        *(f"torch.cuda.{storage}Storage" for storage in _STORAGES.split()),
    ]
)

_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg", "cPickle": "pickle", "httplib": "http.client"}

_PLAIN_BUILTINS = frozenset(
    _words(
        "set frozenset list dict tuple int long float str unicode bytes bytearray bool complex object slice range "
        "xrange type getattr NotImplementedType Ellipsis"
    )
)
_PLAIN_STANDARD = frozenset(
    _words(
        "collections.OrderedDict collections.defaultdict collections.Counter collections.deque datetime.date "
        "datetime.time datetime.datetime datetime.timedelta datetime.timezone decimal.Decimal fractions.Fraction "
        "uuid.UUID pathlib.Path pathlib.PosixPath pathlib.WindowsPath pathlib.PurePosixPath pathlib.PureWindowsPath "
        "pathlib._local.PosixPath pathlib._local.WindowsPath argparse.Namespace array.array _codecs.encode "
        "copyreg._reconstructor copyreg.__newobj__ types.SimpleNamespace functools.partial operator.itemgetter "
        "random.Random zoneinfo.ZoneInfo logging.Logger logging.RootLogger logging.getLogger"
    )
)
_PLAIN_MODULES = frozenset(["enum", "typing", "numbers", "abc"])
_ACTING_PACKAGES = frozenset(
    _words(
        "requests aiohttp httpx urllib2 urllib3 websocket websockets paramiko fabric pip setuptools distutils commands "
        "nt dill cloudpickle joblib IPython pexpect sh plumbum invoke cffi pty"
    )
)
_ACTING_PREFIXES = tuple(
    _words(
        "torch.load torch.save torch.serialization. torch.hub. torch.jit. torch.ops. torch.classes. torch._inductor. "
        "torch._dynamo. torch.utils.cpp_extension. torch.utils._config_module. torch.utils.bottleneck. "
        "torch.utils.collect_env. torch.utils.model_zoo. torch.utils.data.datapipes. torch.distributed. "
        "torch.multiprocessing. torch.testing. torch.fx. torch.package. torch.cuda.memory. torch._export. "
        "torch.export. numpy.load numpy.loads numpy.save numpy.testing. numpy.f2py. numpy.distutils. numpy.fromfile "
        "pandas.read_ pandas.io. transformers.utils.hub. huggingface_hub."
    )
)
_ACTING_NAMES = frozenset(_words("os sys subprocess posix builtins importlib shutil socket ctypes runpy pickle"))


@dataclass(frozen=True, slots=True)
class Framework:
    """A project whose whole-model checkpoints people have, and how it exports them."""

    name: str
    packages: tuple[str, ...]
    export: str


FRAMEWORKS = (
    Framework("Ultralytics YOLO", ("ultralytics",), "yolo export model={file} format=onnx"),
    Framework(
        "YOLOv5 (or a fork of it)", ("models.yolo", "models.common"), "python export.py --weights {file} --include onnx"
    ),
    Framework("Super-Gradients", ("super_gradients",), "model.export('model.onnx')"),
    Framework(
        "OpenMMLab", ("mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain", "mmpose"), "tools/deploy.py of mmdeploy"
    ),
    Framework("Detectron2", ("detectron2",), "tools/deploy/export_model.py --format onnx"),
    Framework("Transformers", ("transformers",), "optimum-cli export onnx --model FOLDER OUTPUT"),
    Framework("timm", ("timm",), "python onnx_export.py of timm"),
    Framework("torchvision", ("torchvision",), "torch.onnx.export(model, (example,), 'model.onnx', dynamo=True)"),
    Framework("Lightning", ("pytorch_lightning", "lightning"), "module.to_onnx('model.onnx')"),
    Framework("fastai", ("fastai",), "torch.onnx.export(learner.model, (example,), 'model.onnx', dynamo=True)"),
    Framework("YOLOX", ("yolox",), "python tools/export_onnx.py -c {file}"),
    Framework("NanoDet", ("nanodet",), "python tools/export_onnx.py --model_path {file}"),
)


def normal(name: str) -> str:
    """The name as Python 3 calls it."""
    first, dot, rest = name.partition(".")
    return _RENAMED.get(first, first) + dot + rest


def outside(names: Iterable[str]) -> tuple[str, ...]:
    """Those that are not part of a plain weights file."""
    return tuple(name for name in names if normal(name) not in WEIGHTS)


def hostile(names: Iterable[str]) -> tuple[str, ...]:
    """Those that no model has a use for: they run, load, fetch or hide."""
    return tuple(name for name in names if normal(name) not in WEIGHTS and _acts(normal(name)))


def harmless(names: Iterable[str]) -> bool:
    """Whether all of these are plain values (dates, paths, numbers) that people save beside their weights."""
    return all(normal(name) in _PLAIN_STANDARD or normal(name).startswith("numpy.") for name in names)


def framework_of(names: Iterable[str]) -> Framework | None:
    """Which project's classes these are."""
    known = tuple(names)
    for framework in FRAMEWORKS:
        if any(name.startswith(tuple(f"{package}." for package in framework.packages)) for name in known):
            return framework
    return None


def _acts(name: str) -> bool:
    attribute = name.rpartition(".")[2]
    root = name.partition(".")[0]
    if (
        name.startswith("<")
        or attribute in _ACTING_NAMES
        or root in _ACTING_PACKAGES
        or name.startswith(_ACTING_PREFIXES)
    ):
        return True
    if root == "builtins":
        return attribute not in _PLAIN_BUILTINS
    if name in _PLAIN_STANDARD or root in _PLAIN_MODULES:
        return False
    return root in sys.stdlib_module_names or not root.isidentifier()
