"""Raw tensors to Detections: one file per family of model heads.

A member's ``make()`` returns ``decode(outputs, fits, *, labels, conf, iou, max_det)``:
the model's outputs for one batch and, for each frame of it, how that frame lay in
the model's input; back come that many ``Detections``, in each frame's own pixels.
"""

from throughline.plugins import Family

DECODERS = Family("decoder", "throughline.vision.decoders")
