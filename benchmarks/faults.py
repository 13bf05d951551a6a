"""Every planted fault and every good conversion: the two tables of docs/verify.md, and what a proof costs.

python benchmarks/faults.py            # both tables
python benchmarks/faults.py --speed    # the time of a proof beside that of the two passes that it needs
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "faults"))

from conversions import CONVERSIONS, HOW
from edits import streets
from planted import FAULTS

from throughline.bundled import DETECTOR
from throughline.evaluation.answers import answers
from throughline.evaluation.verification import Verification, verify_models
from throughline.models.artifact import read_artifact
from throughline.models.chain import Link, follow
from throughline.models.session import open_model
from throughline.vision.detector import detector_for

PICTURES = 128


def main() -> None:
    logging.disable(logging.WARNING)
    if "--speed" in sys.argv:
        return speed()
    wrong = faults() + conversions()
    sys.exit(1 if wrong else 0)


def faults() -> int:
    wrong = 0
    print("| fault | caught by | parts at | right |\n|---|---|---|---|")
    for kind, make in FAULTS.items():
        with tempfile.TemporaryDirectory() as folder:
            fault = make(Path(folder))
            found = verify_models(
                fault.reference, fault.candidate, data=fault.data, asked=fault.asked, steps=fault.steps
            )
        named = {found.parting.layer, *found.parting.between} - {""} if found.parting else set()
        right = bool(named & set(fault.layers)) if fault.layers else not named
        wrong += found.verdict.passed or not right
        where = ", ".join([found.parting.layer, *found.parting.between]) if named and found.parting else "in no layer"
        told = "yes" if right else f"NO: {', '.join(fault.layers)}"
        print(f"| {kind} | {caught_by(found) or 'NOTHING'} | {where} | {told} |", flush=True)
    return wrong


def caught_by(found: Verification) -> str:
    """The kinds of checks that failed."""
    kinds = {"matched outputs": "matched", "task metric": "metric", "open axes": "open axes", "batch of": "batch"}
    names = [check.name for check in found.verdict.checks if not check.passed]
    short = [
        next((kind for start, kind in kinds.items() if name.startswith(start)), name.split(":")[0]) for name in names
    ]
    return ", ".join(dict.fromkeys(name.split(" ")[0] if name.startswith("numeric") else name for name in short))


def conversions() -> int:
    wrong = 0
    print("\n| model | conversion | proven | cosine | worst error |\n|---|---|---|---|---|")
    for name, how in CONVERSIONS:
        with tempfile.TemporaryDirectory() as folder:
            made = HOW[how](name, Path(folder))
            found = verify_models(made.reference, made.candidate, data=made.data, asked=made.asked, steps=made.steps)
        wrong += not found.verdict.passed
        cosine = min((output.cosine for output in found.outputs), default=1.0)
        worst = max((output.max_rel for output in found.outputs), default=0.0)
        figures = f"{cosine:.7f} | {worst:.1e}" if found.outputs else "| "
        failed = [check.name for check in found.verdict.checks if not check.passed]
        print(f"| {name} | {how} | {'yes' if not failed else ', '.join(failed)} | {figures} |", flush=True)
    return wrong


def speed() -> None:
    data, reference = streets(PICTURES), read_artifact(DETECTOR)
    with tempfile.TemporaryDirectory() as folder:
        candidate = follow(reference, [Link("openvino")], Path(folder), "detector").artifact
        for turn in range(4):
            started = time.monotonic()
            for artifact in (reference, candidate):
                with open_model(artifact.path) as session:
                    answers(lambda size: detector_for(artifact, session, frame=size, conf=0.001), data)  # noqa: B023
            passes = time.monotonic() - started
            started = time.monotonic()
            verify_models(reference, candidate, data=data, asked="float32")
            whole = time.monotonic() - started
            if turn:  # the first turn warms up
                print(
                    f"{PICTURES} pictures: two passes {passes:.2f} s, proof {whole:.2f} s, {whole / passes:.2f} times"
                )


if __name__ == "__main__":
    main()
