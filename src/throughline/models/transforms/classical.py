"""A classical estimator as an ONNX graph: rows of float32 numbers in, the number of the class and its shares out.

Every library calls and shapes its results differently. Here they come out alike: ``label`` (int64, by the order of the
labels) and, where the estimator has them, ``probabilities`` for what tells classes apart; ``values`` for what
estimates numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from throughline.contracts.artifacts import Artifact, Step
from throughline.contracts.errors import InputError, ModelRefused, first_line
from throughline.models import passport as passports
from throughline.models.loading import check
from throughline.models.loading.estimators import FORMATS, Estimator, open_estimator
from throughline.models.transforms import Made
from throughline.models.transforms import _graph as graph
from throughline.models.transforms._running import quietly
from throughline.plugins import Plugin

_OPSET: Final = 15
_ML_OPSET: Final = 3
_OUTPUTS: Final = ("label", "own_label", "probabilities", "values")


def classical(source: Artifact, target: Path, *, trust: bool = False) -> Made:
    """Write an estimator as ONNX.

    Args:
        source: a .skops file, or XGBoost's or LightGBM's own.
        target: what to write.
        trust: build types that trained estimators of scikit-learn, XGBoost and LightGBM are not known to be made of,
            where no passport of this machine vouches for the file.
    """
    if source.format not in FORMATS:
        pickled = source.format == "checkpoint" or source.path.suffix in (".pkl", ".pickle", ".joblib")
        raise InputError(
            f"{source.path} is {source.format}; 'classical' takes {', '.join(FORMATS)}",
            "save it with skops: skops.io.dump(model, 'model.skops')" if pickled else "give the estimator's own file",
        )
    holds = passports.vouched(source)
    check(source.path, trust=trust, passport_holds=holds)
    estimator = open_estimator(source.path, source.format, trust=trust or holds)
    model, tool = _converted(source, estimator)
    _alike(model, estimator)
    labels = source.labels or tuple(map(str, estimator.classes))
    facts = {"task": "classify", "names": str(dict(enumerate(labels)))} if estimator.classes else {}
    graph.set_metadata(model, {**graph.facts_of(source), **facts})
    companions = graph.save(model, target)
    changes: dict[str, Any] = {"labels": labels, "task": "classify"} if estimator.classes else {}
    return Made(
        Step("classical", {"estimator": type(estimator.model).__name__, "features": estimator.features}, tool),
        companions,
        changes=changes,
        notes=("it computes in float32: where a row lies on a threshold, float64 may have gone the other way",),
    )


def _converted(source: Artifact, estimator: Estimator) -> tuple[Any, str]:
    try:
        with quietly():
            if source.format == "skops":
                return _with_skl2onnx(estimator), graph.tool("scikit-learn", "skl2onnx")
            return _with_onnxmltools(source.format, estimator), graph.tool(source.format, "onnxmltools")
    except Exception as error:
        raise ModelRefused(
            f"{source.path}: {type(estimator.model).__name__} has no ONNX form here: {first_line(error)[:200]}",
            "take out the step that has none, or do it before the model",
        ) from None


def _with_skl2onnx(estimator: Estimator) -> Any:
    import importlib.util

    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    for package in ("xgboost", "lightgbm"):
        if importlib.util.find_spec(package) and importlib.util.find_spec("onnxmltools"):
            _register(package)
    return convert_sklearn(
        estimator.model,
        initial_types=[("X", FloatTensorType([None, estimator.features]))],
        options={id(estimator.model): {"zipmap": False}} if estimator.says_shares else None,
        target_opset={"": _OPSET, "ai.onnx.ml": _ML_OPSET},
    )


def _register(package: str) -> None:
    """Tell skl2onnx of the estimators that a pipeline may end in."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator as shapes

    classes: dict[Any, str]
    if package == "xgboost":
        import xgboost
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost as convert

        classes = {xgboost.XGBClassifier: "XGBClassifier", xgboost.XGBRegressor: "XGBRegressor"}
    else:
        import lightgbm
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm as convert

        classes = {lightgbm.LGBMClassifier: "LGBMClassifier", lightgbm.LGBMRegressor: "LGBMRegressor"}
    for class_, name in classes.items():
        tells = name.endswith("Classifier")
        update_registered_converter(
            class_,
            f"Throughline{name}",
            shapes.calculate_linear_classifier_output_shapes
            if tells
            else shapes.calculate_linear_regressor_output_shapes,
            convert,
            options={"zipmap": [True, False, "columns"], "nocl": [True, False]} if tells else None,
        )


def _with_onnxmltools(format_: str, estimator: Estimator) -> Any:
    from onnxmltools.convert import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [("X", FloatTensorType([None, estimator.features]))]
    if format_ == "xgboost":
        return convert_xgboost(estimator.model, initial_types=types, target_opset=_OPSET)
    return convert_lightgbm(estimator.model, initial_types=types, target_opset=_OPSET, zipmap=False)


def _alike(model: Any, estimator: Estimator) -> None:
    """Give the graph the interface that every estimator has here."""
    from onnx import TensorProto, helper

    versions = {entry.domain: entry.version for entry in model.opset_import}
    first = model.graph.output[0]
    if estimator.classes:
        versions["ai.onnx.ml"] = max(_ML_OPSET, versions.get("ai.onnx.ml", 0))
        names = {first.name: "own_label"}
        outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"])]
        if estimator.says_shares:
            names[model.graph.output[1].name] = "probabilities"
            sizes = ["batch", len(estimator.classes)]
            outputs.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, sizes))
        _renamed(model, names)
        model.graph.node.append(_numbered("own_label", estimator.classes))
    else:
        sizes = first.type.tensor_type.shape.dim
        wide = sizes[1].dim_value if len(sizes) == 2 and sizes[1].dim_value else 1
        _renamed(model, {first.name: "values"})
        outputs = [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch", wide])]
    del model.graph.output[:], model.opset_import[:]
    graph.forget_shapes(model)
    model.graph.output.extend(outputs)
    _without_loose_ends(model)
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in sorted(versions.items()))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    model.graph.name, model.graph.doc_string, model.doc_string = "estimator", "", ""


def _renamed(model: Any, names: dict[str, str]) -> None:
    """Call tensors otherwise; one that is in the way of a new name is moved aside."""
    moved = {**{new: f"inner_{new}" for new in _OUTPUTS if new not in names}, **names}
    for node in model.graph.node:
        for side in (node.input, node.output):
            for place, name in enumerate(side):
                side[place] = moved.get(name, name)


def _without_loose_ends(model: Any) -> None:
    """Take out the nodes whose results nobody reads any more."""
    wanted = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted.update(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    graph.drop_unused_weights(model)


def _numbered(name: str, classes: tuple[Any, ...]) -> Any:
    """From what a class is called to its number."""
    from onnx import helper

    texts = isinstance(classes[0], str)
    keys = {"keys_strings": list(classes)} if texts else {"keys_int64s": [int(one) for one in classes]}
    numbers = list(range(len(classes)))
    return helper.make_node(
        "LabelEncoder", [name], ["label"], "number_of_the_class", domain="ai.onnx.ml", values_int64s=numbers, **keys
    )


PLUGIN = Plugin(
    make=classical,
    summary="scikit-learn, XGBoost and LightGBM estimators to ONNX",
    needs=("skops", "skl2onnx", "onnxmltools"),
    extra="classical",
    facts={"takes": FORMATS, "gives": "onnx"},
)
