"""A copy of a video in which nobody can be recognised. With a model for them: faces, plates.

Try it: python examples/blur_people.py street.mp4 blurred.mp4
"""

import sys
from fractions import Fraction

import av
import cv2

from throughline import ModelManager, VideoProcessor
from throughline.bundled import DETECTOR

CLOCK = Fraction(1, 90_000)


def blur(path: str, target: str, wanted: str = "person") -> None:
    with ModelManager(DETECTOR.parent) as models, VideoProcessor(path) as video, av.open(target, "w") as out:
        models.load_model("detector", conf=0.1)  # rather one box too many than one too few
        track = out.add_stream("libx264", rate=video.info.fps or 30, options={"crf": "20"})
        track.width, track.height, track.codec_context.time_base = video.info.width, video.info.height, CLOCK
        for frames in video.stream_frames():
            for frame, found in zip(frames, models.predict_batch(frames), strict=True):
                image = frame.image.copy()
                for left, top, right, bottom in (map(round, one.bbox) for one in found if one.class_name == wanted):
                    region = image[top : bottom + 1, left : right + 1]
                    region[:] = cv2.blur(region, (1 + (right - left) // 2, 1 + (bottom - top) // 2))
                picture = av.VideoFrame.from_ndarray(image, format="rgb24")
                picture.pts, picture.time_base = round(frame.seconds / CLOCK), CLOCK
                out.mux(track.encode(picture))
        out.mux(track.encode())


if __name__ == "__main__":
    blur(*sys.argv[1:])
