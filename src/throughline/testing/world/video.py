"""The world as a video file: H.264, every frame at its own time."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from throughline.contracts.errors import InputError, Unavailable
from throughline.contracts.frames import Frame
from throughline.files import whole_file
from throughline.testing.world.folder import at_least
from throughline.testing.world.scene import Truth
from throughline.testing.world.world import World


def write_video(
    world: World, path: str | Path, count: int, *, watch: Callable[[Frame, Truth], None] = lambda frame, truth: None
) -> Path:
    """Write the first ``count`` frames; the container follows from the file's ending (.mp4, .mkv ...).

    ``watch`` hears of every frame that was written, with its truth.
    """
    import av
    import av.error

    at_least(1, count=count)
    if world.width % 2 or world.height % 2:
        raise InputError(
            f"the world is {world.width}x{world.height}; a yuv420p video needs even sides",
            "give an even width and height",
        )
    try:
        av.Codec("libx264", "w")
    except av.error.FFmpegError:
        raise Unavailable("this build of PyAV cannot write H.264", "pip install av, from its wheel") from None
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as draft, av.open(str(draft), "w") as container:
        stream = container.add_stream("libx264", rate=world.fps, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = world.width, world.height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, world.fps)
        for frame, truth in world.frames(count):
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture.pts, picture.time_base = frame.index, Fraction(1, world.fps)
            container.mux(stream.encode(picture))
            watch(frame, truth)
        container.mux(stream.encode())
    return target
