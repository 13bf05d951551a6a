"""Name the precision that a model really has, from its tensors and not from what its name says."""

from __future__ import annotations

from collections.abc import Mapping

_COUNTED = [
    "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
    "float8_e5m2fnuz", "float4_e2m1fn", "int8", "uint8", "int4", "uint4", "int2", "uint2",
]  # fmt: skip


def precision_of(elements: Mapping[str, int], *, quantised: int = 0) -> str | None:
    """Say which precision the parameters have, by how many there are of each.

    Args:
        elements: parameters by dtype.
        quantised: how many of the integer ones are weights behind a scale; the rest are tables and indices.
    """
    weights = {dtype: count for dtype, count in elements.items() if count and dtype.startswith(("float", "bfloat"))}
    integer = sorted((dtype for dtype in elements if "int" in dtype and dtype in _COUNTED), key=lambda d: -elements[d])
    total = sum(weights.values()) + quantised
    if not total:
        return None
    if quantised:
        name = (integer[0] if integer else "int8").removeprefix("u")
        return f"{name} (q/dq), {_percent(quantised, total)} of weights"
    (first, most), *others = sorted(weights.items(), key=lambda item: -item[1])
    if most / total >= 0.99 or not others:
        return first
    return "mixed: " + ", ".join(f"{dtype} {_percent(count, total)}" for dtype, count in [(first, most), *others])


def _percent(part: int, total: int) -> str:
    return f"{100 * part / total:.0f} %"
