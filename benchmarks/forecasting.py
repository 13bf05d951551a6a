"""What a forecast is worth: ten made-up series of a week and noise, each judged in the past against the last week.

python benchmarks/forecasting.py
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "training" / "trainers"))

from test_timeseries import days, sold

from throughline.verbs.train import train

DAYS = 240
TOLD = ["target=sold", "time=day", "horizon=7", "folds=6", "rounds=60"]


def main() -> None:
    scores, covered = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(10):
            folder = Path(scratch) / str(seed)
            folder.mkdir()
            rows = [f"{str(day)[:10]},{value:.3f}" for day, value in zip(days(DAYS), sold(DAYS, seed), strict=True)]
            data = folder / "sold.csv"
            data.write_text("\n".join(["day,sold", *rows]) + "\n")
            report = train(
                trainer="timeseries", data=str(data), set_=TOLD, name=f"sold-{seed}", out=folder / "run", log="jsonl"
            )
            scores.append(report.metrics["mase"] / report.baseline["mase"])
            covered.append(report.metrics["coverage"])
    print(f"MASE over that of the last week: {statistics.mean(scores):.2f} ({min(scores):.2f} to {max(scores):.2f})")
    print(f"an interval for 80 % holds {statistics.mean(covered):.0%}")


if __name__ == "__main__":
    main()
