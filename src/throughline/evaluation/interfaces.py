"""The inputs and outputs of two forms of one model, side by side: what one calls its own, the other may call otherwise.

A form may have lost its names on the way, or never have said what it takes; what belongs to what then follows
from the order, or from the other form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, final

from throughline.contracts.artifacts import Array, Artifact, Predictor, TensorSpec
from throughline.contracts.errors import InputError
from throughline.models.feeding import carrier

Model: TypeAlias = tuple[Artifact, Predictor]
Feed: TypeAlias = Mapping[str, Array]
_RANKING: Final = {"TopK", "NonMaxSuppression", "NonMaxSuppressionIEInternal", "MulticlassNms", "MatrixNms"}


def with_inputs(artifact: Artifact, predictor: Predictor, other: Artifact) -> Model:
    """Weights alone do not say what goes into them; then it is what goes into the other form."""
    if artifact.inputs or len(predictor.inputs) != len(other.inputs):
        return artifact, predictor
    told = tuple(replace(spec, name=own.name) for spec, own in zip(other.inputs, predictor.inputs, strict=True))
    return replace(artifact, passport=replace(artifact.passport, inputs=told)), _Told(predictor, told)


def in_order(one: Mapping[str, Array], other: Mapping[str, Array]) -> Mapping[str, Array]:
    """The second's outputs under the first's names: by name where those are the same, else by their order."""
    return other if set(one) == set(other) else dict(zip(one, other.values(), strict=True))


def ranked_outputs(artifact: Artifact) -> frozenset[str]:
    """The outputs whose rows are in the order of their scores: two equally good rows may change places."""
    if artifact.format != "onnx":
        return frozenset()
    import onnx

    graph = onnx.load(artifact.path, load_external_data=False).graph
    ranked: set[str] = set()
    for node in graph.node:
        if node.op_type in _RANKING or ranked.intersection(node.input):
            ranked.update(node.output)
    return frozenset(ranked.intersection(value.name for value in graph.output))


def renamed(mine: Sequence[TensorSpec], its: Sequence[TensorSpec]) -> dict[str, str]:
    """The reference's name of each of the candidate's inputs."""
    if len(mine) != len(its):
        raise InputError(
            f"the reference takes {', '.join(map(str, mine))}, the candidate {', '.join(map(str, its))}",
            "these are not two forms of one model",
        )
    names = {spec.name for spec in mine}
    if names == {spec.name for spec in its}:
        return {name: name for name in names}
    return {other.name: one.name for one, other in zip(mine, its, strict=True)}


def row_by_row(arrays: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Iterator[Feed]:
    """As many rows at once as the file fixes, one where it leaves that open; what carries no rows goes whole."""
    if missing := [str(spec) for spec in specs if spec.name not in arrays]:
        raise InputError(
            f"the arrays hold {', '.join(arrays) or 'nothing'}; the model takes {', '.join(missing)}",
            "name the arrays as the model's inputs are named",
        )
    lead = carrier(specs)
    if lead is None:
        yield arrays
        return
    first = lead.shape[0]
    step = first if isinstance(first, int) else 1
    rows = len(arrays[lead.name])
    carrying = {spec.name for spec in specs if spec.shape and spec.shape[0] == first and len(arrays[spec.name]) == rows}
    for start in range(0, rows - step + 1, step):
        yield {
            spec.name: arrays[spec.name][start : start + step] if spec.name in carrying else arrays[spec.name]
            for spec in specs
        }


def rows_of(arrays: Mapping[str, Array]) -> int:
    """How many rows the longest of them has."""
    return max((len(array) for array in arrays.values() if array.ndim), default=1)


def by_name(specs: Sequence[TensorSpec]) -> dict[str, TensorSpec]:
    """Each under its name."""
    return {spec.name: spec for spec in specs}


@final
@dataclass(frozen=True, slots=True)
class _Told:
    """A predictor of which somebody else says what it takes."""

    predictor: Predictor
    inputs: tuple[TensorSpec, ...]

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self.predictor.outputs

    def predict(self, feeds: Feed) -> dict[str, Array]:
        return self.predictor.predict(feeds)

    def close(self) -> None:
        self.predictor.close()
