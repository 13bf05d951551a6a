"""What the package ships to work on: a small detector of the synthetic world.

``examples/train_demo_model.py`` made it, and makes it again; its passport holds the figures.
"""

from pathlib import Path

DETECTOR = Path(__file__).with_name("detector.onnx")
WEIGHTS = Path(__file__).with_name("detector.safetensors")
