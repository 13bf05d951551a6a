"""Damage good clips in thousands of seeded ways, read every one, and count how each ended.

    python benchmarks/mutants.py [COUNT] [FIRST SEED]

The exit code is 1 where one ended short without a word, with a fault of ours, or slowly. Each
block of mutants is read in a process of its own, so that a decoder that crashes is counted too.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests" / "video" / "sources"))

import clips
import damage

COUNT, BLOCK, FRAMES, SLOW = 2_000, 50, 24, 20.0


def read_block(task: tuple[Path, str, int]) -> list[tuple[int, str, damage.Fate]]:
    folder, kind, first = task
    good = (folder / kind).read_bytes()
    found = []
    for seed in range(first, first + BLOCK):
        how, data = damage.mutate(good, seed)
        path = folder / f"mutant-{multiprocessing.current_process().pid}-{kind}"
        path.write_bytes(data)
        found.append((seed, how, damage.read(path, FRAMES, good)))
    return found


def ending_of(fate: damage.Fate) -> str:
    if fate.refused:
        return "refused or failed"
    if fate.gaps:
        return "gaps"
    return "whole, but shorter: MPEG-TS cut exactly between two pictures" if fate.shorter else "complete"


def main(count: int, first: int) -> int:
    began, endings, faults, slowest = time.perf_counter(), Counter[str](), [], 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in clips.KINDS:
            clips.write_kind(folder, kind, FRAMES)
        kinds = list(clips.KINDS)
        blocks = [(folder, kinds[n % len(kinds)], first + n * BLOCK) for n in range(-(-count // BLOCK))]
        for block in blocks:
            context = multiprocessing.get_context("spawn")
            with context.Pool(1) as pool:
                try:
                    found = pool.apply_async(read_block, (block,)).get(timeout=BLOCK * SLOW / 4)
                except multiprocessing.TimeoutError:
                    endings["crashed or hung"] += BLOCK
                    faults.append(f"{block[1]} seeds from {block[2]}: crashed or hung")
                    continue
            for seed, how, fate in found:
                slowest = max(slowest, fate.seconds)
                endings[ending_of(fate)] += 1
                if fate.fault or fate.seconds > SLOW:
                    faults.append(f"{block[1]} seed {seed}, {how}: {fate.fault or 'slow'}")
    print(f"{sum(endings.values())} mutants in {time.perf_counter() - began:.0f} s, the slowest {slowest:.2f} s")
    for ending, number in endings.most_common():
        print(f"  {number:6} {ending}")
    print(f"  {len(faults):6} faults")
    print(*faults[:40], sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    sys.exit(main(*given, *(COUNT, 0)[len(given) :]))
