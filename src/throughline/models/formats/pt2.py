"""PT2: a program exported by ``torch.export``. Opening it unpickles parts of it, so it counts as a program.

``torch.export.load`` reads its graph from JSON, but its sample inputs and any
constant that is no plain tensor through pickle, with the restriction dropped
where it does not hold; and an archive may carry compiled libraries.
"""

from __future__ import annotations

import json
import re
from typing import Any

from throughline.contracts.artifacts import Axis, TensorSpec
from throughline.contracts.errors import InputError
from throughline.models.formats import Description, Glimpse, Risk
from throughline.models.formats._exported import exported_fields
from throughline.models.formats._precision import precision_of
from throughline.models.loading.archives import Archive
from throughline.models.loading.checkpoint_file import is_pt2
from throughline.models.loading.claims import MAX_DIMENSIONS
from throughline.models.loading.exported_program import inspect_pt2
from throughline.models.loading.globals import hostile
from throughline.plugins import Plugin

_DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn",
    30: "float8_e5m2",
}  # fmt: skip
_MAX_MODEL = 512 << 20


class Pt2:
    """A ``.pt2`` file."""

    suffixes = (".pt2",)

    def recognises(self, file: Glimpse) -> bool:
        """Whether it is an archive that says it holds an exported program."""
        return file.archive is not None and is_pt2(file.archive)

    def describe(self, file: Glimpse) -> Description:
        """Read the graph's signature and list what opening it would run."""
        archive = file.archive
        assert archive is not None
        program = _program(archive)
        contents = inspect_pt2(archive)
        fields = exported_fields(_extra(archive))
        fields.pop("decoder")
        inputs, outputs, parameters, elements = _signature(program)
        attack = hostile(contents.globals)
        if attack:
            risk = Risk("malicious", f"a pickle in it would import {', '.join(attack[:4])}", contents.globals)
        else:
            carried = ", ".join(contents.carried) or "its sample inputs"
            risk = Risk("program", f"opening it unpickles or loads {carried}", contents.globals)
        return Description(
            path=file.path,
            format="pt2",
            kind="exported program" + (" with compiled libraries" if contents.libraries else ""),
            risk=risk,
            inputs=inputs,
            outputs=outputs,
            precision=precision_of(elements),
            parameters=parameters,
            producer=f"torch {program['torch_version']}"[:60]
            if isinstance(program.get("torch_version"), str)
            else None,
            files=(file.path,),
            **fields,
        )


def _program(archive: Archive) -> dict[str, Any]:
    names = [
        name for name in archive.entries if re.search(r"(^|/)(models/[^/]+|serialized_exported_program)\.json$", name)
    ]
    if not names:
        if any("/aotinductor/" in f"/{name}" for name in archive.entries):
            return {}
        raise InputError(f"{archive.path} is a .pt2 archive without a model in it", "export the model again")
    try:
        found = json.loads(archive.read(names[0], _MAX_MODEL))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{archive.path} is a damaged .pt2 file: {str(error)[:80]}", "export it again") from None
    return found if isinstance(found, dict) else {}


def _signature(
    program: dict[str, Any],
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...], int | None, dict[str, int]]:
    """Inputs, outputs and parameters by type; whatever of it is not there is left empty."""
    try:
        module = program["graph_module"]
        values, signature = module["graph"]["tensor_values"], module["signature"]
        symbols: dict[str, str] = {}
        inputs, outputs = [], []
        elements: dict[str, int] = {}
        for entry in signature["input_specs"]:
            if "user_input" in entry and "as_tensor" in entry["user_input"]["arg"]:
                inputs.append(_spec(entry["user_input"]["arg"]["as_tensor"]["name"], values, symbols))
            elif "parameter" in entry:
                spec = _spec(entry["parameter"]["arg"]["name"], values, symbols)
                count = 1
                for size in spec.shape:
                    count *= size if isinstance(size, int) else 1
                elements[spec.dtype] = elements.get(spec.dtype, 0) + count
        for entry in signature["output_specs"]:
            if "user_output" in entry and "as_tensor" in entry["user_output"]["arg"]:
                outputs.append(_spec(entry["user_output"]["arg"]["as_tensor"]["name"], values, symbols))
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError):
        return (), (), None, {}
    return tuple(inputs), tuple(outputs), sum(elements.values()), elements


def _spec(name: str, values: dict[str, Any], symbols: dict[str, str]) -> TensorSpec:
    value = values[name]
    shape: list[Axis] = []
    for size in value["sizes"][:MAX_DIMENSIONS]:
        if "as_int" in size:
            shape.append(int(size["as_int"]))
        else:
            match = re.search(r"Symbol\('(\w+)'", size["as_expr"]["expr_str"][:200])
            symbol = match[1] if match else size["as_expr"]["expr_str"][:40]
            shape.append(symbols.setdefault(symbol, "batch" if not shape else f"dim{len(symbols)}"))
    return TensorSpec(str(name), _DTYPES.get(value["dtype"], f"type {value['dtype']}"), tuple(shape))


def _extra(archive: Archive) -> dict[str, str]:
    found: dict[str, str] = {}
    prefix = f"{archive.root}extra/"
    for name, entry in list(archive.entries.items())[:10_000]:
        if name.startswith(prefix) and entry.file_size <= 1 << 20:
            text = archive.read(name).decode("utf-8", "replace")
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                value = None
            key = name.removeprefix(prefix).removesuffix(".json").removesuffix(".txt")
            if isinstance(value, dict) and key in ("config", "metadata", "throughline"):
                found.update((str(k), v if isinstance(v, str) else json.dumps(v)) for k, v in value.items())
            else:
                found[key] = text[: 1 << 20]
    return found


PLUGIN = Plugin(make=Pt2, summary="a program exported by torch.export (.pt2)")
