"""Raw tensors to Detections: one file per family of model heads."""
