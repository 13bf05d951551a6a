"""Networks that tell pictures apart: Transformers' own, small and new, or from a folder; they take what our files take.

A folder says how its network wants to see pictures. What ships takes ImageNet's mean and deviation whatever that is:
the difference is two numbers for each channel, and they become a part of the network.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from throughline.contracts.errors import InputError
from throughline.training.trainers._offline import local_model, numbered, opened
from throughline.vision.preprocess import IMAGENET

if TYPE_CHECKING:
    import torch

FAMILIES: Final = ("resnet", "mobilenet_v2", "convnextv2")
_SEES: Final = "preprocessor_config.json"


def new_network(family: str, width: float, labels: tuple[str, ...], transformers: Any) -> torch.nn.Module:
    """A network of random numbers: ResNet-18, MobileNetV2 or ConvNeXt V2 Atto at width 1."""
    named = numbered(labels)
    if family == "mobilenet_v2":
        config = transformers.MobileNetV2Config(
            depth_multiplier=width, finegrained_output=False, classifier_dropout_prob=0.2, **named
        )
        return _as_shipped(transformers.MobileNetV2ForImageClassification(config), IMAGENET.mean, IMAGENET.std)
    if family == "convnextv2":
        sizes = _sizes((40, 80, 160, 320), width)
        config = transformers.ConvNextV2Config(hidden_sizes=sizes, depths=[2, 2, 6, 2], **named)
        return _as_shipped(transformers.ConvNextV2ForImageClassification(config), IMAGENET.mean, IMAGENET.std)
    sizes = _sizes((64, 128, 256, 512), width)
    config = transformers.ResNetConfig(
        embedding_size=sizes[0], hidden_sizes=sizes, depths=[2, 2, 2, 2], layer_type="basic", **named
    )
    return _as_shipped(transformers.ResNetForImageClassification(config), IMAGENET.mean, IMAGENET.std)


def network_from(weights: str, labels: tuple[str, ...], transformers: Any) -> torch.nn.Module:
    """The network of a folder, with a new last layer where its classes are others."""
    folder, _ = local_model(weights)
    network = opened(
        transformers.AutoModelForImageClassification, folder, "classifier of pictures",
        ignore_mismatched_sizes=True, use_safetensors=True, **numbered(labels),
    )  # fmt: skip
    return _as_shipped(network, *_mean_and_std(folder))


def save_network(network: Any, folder: Path) -> None:
    """Write it as Transformers reads it, together with how it wants to see pictures."""
    network.network.save_pretrained(folder)
    seen = {"image_mean": network.mean, "image_std": network.std, "rescale_factor": 1 / 255, "do_normalize": True}
    (folder / _SEES).write_text(json.dumps(seen, indent=2) + "\n", "utf-8")


def held_to_size(network: torch.nn.Module, canvas: tuple[int, int], labels: tuple[str, ...]) -> torch.nn.Module:
    """The same network, which was seen to take pictures of this size."""
    import torch

    try:
        with torch.inference_mode():
            answer = network.eval()(torch.zeros(1, 3, *canvas))
    except (RuntimeError, ValueError) as error:
        size = "x".join(map(str, canvas))
        raise InputError(
            f"imgsz: the network does not take pictures of {size}: {str(error).partition(chr(10))[0][:200]}",
            "give the size that it was made for, as HEIGHTxWIDTH",
        ) from None
    if tuple(answer.shape) != (1, len(labels)):
        raise InputError(
            f"weights: the network answers with {tuple(answer.shape)} for {len(labels)} classes",
            "give a network whose last layer Transformers can make anew",
        )
    return network


def _sizes(own: tuple[int, ...], width: float) -> list[int]:
    return [max(8, round(size * width / 8) * 8) for size in own]


def _mean_and_std(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """How the network of a folder was shown pictures: what is taken off RGB from 0 to 1, and what it is divided by."""
    path = folder / _SEES
    if not path.is_file():
        raise InputError(
            f"weights: {folder} does not say how its network sees pictures: it has no {_SEES}",
            "save its image processor in the same folder",
        )
    try:
        said = json.loads(path.read_text("utf-8"))
        white = 255 * float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 255.0
        if not said.get("do_normalize", True):
            return (0.0,) * 3, (1 / white,) * 3
        mean, std = ([float(one) / white for one in said[name]] for name in ("image_mean", "image_std"))
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0 or not all(map(math.isfinite, mean + std)):
            raise ValueError("it needs three means, and three deviations above 0")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
        raise InputError(f"{path} cannot be read: {error}", "save the image processor again") from None
    return tuple(mean), tuple(std)


def _as_shipped(network: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.nn.Module:
    """It takes ``images`` by ImageNet's mean and deviation, and answers with one number for each class."""
    import torch

    class Shipped(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network, self.mean, self.std = network, list(mean), list(std)
            channels = list(zip(IMAGENET.mean, IMAGENET.std, mean, std, strict=True))
            self.plain = mean == IMAGENET.mean and std == IMAGENET.std
            self.register_buffer("scale", _of_channels([theirs / own for _, theirs, _, own in channels]), False)
            self.register_buffer("shift", _of_channels([(one - m) / own for one, _, m, own in channels]), False)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.network(
                pixel_values=images if self.plain else images * self.scale + self.shift
            ).logits
            return logits

    return Shipped()


def _of_channels(values: list[float]) -> torch.Tensor:
    import torch

    return torch.tensor(values)[:, None, None]
