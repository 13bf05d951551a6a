"""The next version of a detector: trained, tuned, shown to be better, swapped in; a worse one is refused; and back.

Try it in an empty folder: python next_version.py
Everything is written there: the data, the runs, and the registry (mlflow.db). Takes two minutes on two cores.
"""

from pathlib import Path

import throughline
from throughline.testing.world import World, write_yolo


def main() -> None:
    write_yolo(World(5, 320, 192), Path("street"), train=48, val=16)  # to learn from
    write_yolo(World(6, 320, 192), Path("crossing"), train=1, val=80)  # to judge by: another street
    common = {"trainer": "torch_loop", "data": "street/data.yaml"}
    begins = ["imgsz=192x320", "weights=bundled"]

    weak = throughline.train(**common, set_=[*begins, "epochs=1", "lr=1e-4"], name="weak")
    first = throughline.register(weak.model, "street")
    throughline.promote("street", str(first.version))  # nothing was there before, so nothing has to be shown
    print(f"version 1: {weak.metric} {weak.metrics[weak.metric]:.3f} on its own street")

    tuned = throughline.tune(**common, set_=[*begins, "epochs=1", "lr=1e-4 .. 3e-3 log"], trials=3, name="lr")
    print(f"of {len(tuned.trials)} learning rates the best is {tuned.best['lr']:.1e}")

    better = throughline.train(tuned.recipe, set_=["epochs=4"], name="better")
    second = throughline.register(better.model, "street")
    shown = throughline.compare("models:/street@champion", second.uri, data="crossing/data.yaml", out=Path("better"))
    print(shown.sentence)
    moved = throughline.promote("street", str(second.version), evidence=shown.evidence)
    print(f"@champion: version {moved.before} -> {moved.version}")

    third = throughline.register(tuned.folder / "trials" / "0000" / "model.onnx", "street")
    shown = throughline.compare("models:/street@champion", third.uri, data="crossing/data.yaml", out=Path("worse"))
    print(shown.sentence)
    try:
        throughline.promote("street", str(third.version), evidence=shown.evidence)
    except throughline.ModelRefused as refused:
        print(f"refused: {refused.problem}")

    back = throughline.rollback("street", reason="to show how")
    print(f"@champion: version {back.before} -> {back.version}")
    print()
    print(throughline.history("street"))


if __name__ == "__main__":
    main()
