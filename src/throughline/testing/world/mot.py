"""The world as a MOTChallenge sequence: img1/, gt/gt.txt, gt/labels.txt, seqinfo.ini."""

from __future__ import annotations

from pathlib import Path

from throughline.testing.world.folder import appearing, at_least, save_picture
from throughline.testing.world.traffic import LABELS
from throughline.testing.world.world import World


def write_mot(world: World, folder: str | Path, count: int) -> Path:
    """Write the first ``count`` frames and the way of every object through them; returns the folder.

    As the challenge does, frames, classes and pixels count from 1. A line of
    gt.txt is: frame, identity, left, top, width, height, 1, class, visibility;
    labels.txt names the classes in their order.
    """
    at_least(1, count=count)
    target, lines = Path(folder), []
    with appearing(target) as draft:
        (draft / "img1").mkdir()
        (draft / "gt").mkdir()
        for frame, truth in world.frames(count):
            number, found = frame.index + 1, truth.detections
            save_picture(draft / "img1" / f"{number:06}.jpg", frame.image)
            assert found.tracker_id is not None
            identities, visible = found.tracker_id.tolist(), found.data["visibility"].tolist()
            rows = zip(found.xyxy.tolist(), identities, found.class_id.tolist(), visible, strict=True)
            for (x1, y1, x2, y2), identity, kind, seen in rows:
                place = f"{x1 + 1:g},{y1 + 1:g},{x2 - x1:g},{y2 - y1:g}"
                lines.append(f"{number},{identity},{place},1,{kind + 1},{seen:.4f}\n")
        (draft / "gt" / "gt.txt").write_text("".join(lines))
        (draft / "gt" / "labels.txt").write_text("".join(f"{name}\n" for name in LABELS))
        (draft / "seqinfo.ini").write_text(
            f"[Sequence]\nname=world-{world.seed}\nimDir=img1\nframeRate={world.fps}\nseqLength={count}\n"
            f"imWidth={world.width}\nimHeight={world.height}\nimExt=.jpg\n"
        )
    return target
