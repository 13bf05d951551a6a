"""Run an ONNX graph and see what happens inside it: ranges of tensors, and the tensors themselves.

What is looked for is worked out inside the graph, so that a range costs two numbers and not a copy of every
activation. Runs are on the CPU with the graph as it is written: an optimiser would merge away what is asked about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, ModelRefused, first_line
from throughline.hardware import cores
from throughline.models.transforms import Feeds

FLOAT = 1


@final
class Opened:
    """A graph in memory, opened; ``run`` gives what was asked for, by name."""

    def __init__(self, model: Any, wanted: Sequence[str] | None = None, *, optimised: bool = False) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        if not optimised:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelRefused(
                f"ONNX Runtime cannot open the graph: {first_line(error)}", "simplify it first"
            ) from None
        self.inputs = [argument.name for argument in self._session.get_inputs()]
        self.wanted = list(wanted) if wanted is not None else [output.name for output in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run it once; what ONNX Runtime says no to comes out as ``CannotRun``."""
        if missing := [name for name in self.inputs if name not in feeds]:
            raise InputError(
                f"the feeds have {', '.join(sorted(feeds)) or 'nothing'}; the model takes {', '.join(missing)} too",
                "name the feeds as the model's inputs are named",
            )
        try:
            return dict(
                zip(self.wanted, self._session.run(self.wanted, {n: feeds[n] for n in self.inputs}), strict=True)
            )
        except Exception as error:
            raise CannotRun(error) from None


class CannotRun(ModelRefused):
    """The graph does not run on these feeds; ``node`` is where it stops, where that is known."""

    def __init__(self, error: Exception) -> None:
        found = re.search(r"running (\w+) node\. Name:\s?'([^']*)'", str(error))
        self.op, self.node = found.groups() if found else ("", "")
        where = f" at the node '{self.node}' ({self.op})" if found else ""
        reason = first_line(error).rpartition("Status Message:")[2].strip()
        super().__init__(f"the graph does not run{where}: {reason[:300]}", "give feeds that the model takes")


def each(feeds: Feeds, most: int | None = None) -> Iterator[Mapping[str, Array]]:
    """The feeds, at most so many of them; there has to be one."""
    count = 0
    for count, feed in enumerate(feeds(), 1):
        yield feed
        if count == most:
            return
    if not count:
        raise InputError("there are no feeds: nothing to measure the model on", "give data with at least one picture")


def float_tensors(model: Any) -> list[str]:
    """The float32 tensors that nodes of the outer graph make, and its float32 inputs; in order, constants apart."""
    from throughline.models.transforms._graph import inputs

    types = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.output)}
    names = [value.name for value in inputs(model) if value.type.tensor_type.elem_type == FLOAT]
    names += [
        name
        for node in model.graph.node
        if node.op_type != "Constant"
        for name in node.output
        if types.get(name) == FLOAT
    ]
    return names


def with_outputs(model: Any, names: Sequence[str]) -> Any:
    """A copy whose only outputs are these tensors of the graph."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names))
    return copy


def add_reduction(model: Any, kind: str, tensor: str, name: str) -> str:
    """Append a node that reduces a whole tensor to one number, as a further output."""
    import onnx
    from onnx import helper

    model.graph.node.append(helper.make_node(kind, [tensor], [name], name=name, keepdims=0))
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    return name


def extremes(model: Any, feeds: Feeds, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The least and the greatest value of each tensor over all feeds.

    Args:
        model: a graph with its shapes inferred.
        feeds: what to run it on.
        names: the tensors.
    """
    probe = with_outputs(model, ())
    wanted = []
    for number, name in enumerate(names):
        wanted.append(add_reduction(probe, "ReduceMin", name, f"throughline_least_{number}"))
        wanted.append(add_reduction(probe, "ReduceMax", name, f"throughline_greatest_{number}"))
    opened = Opened(probe)
    least = np.full(len(names), np.inf)
    greatest = np.full(len(names), -np.inf)
    for feed in each(feeds):
        found = opened.run(feed)
        seen = np.array([float(found[name]) for name in wanted]).reshape(-1, 2)
        least, greatest = np.fmin(least, seen[:, 0]), np.fmax(greatest, seen[:, 1])
    return {name: (float(low), float(high)) for name, low, high in zip(names, least, greatest, strict=True)}


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what a library prints or logs to itself: a transform speaks through its notes."""
    import contextlib
    import io
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
