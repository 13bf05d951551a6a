"""Detectors of the DETR line as Transformers has them: new ones, or from a folder; they take and answer what ships.

While it learns, such a network is told the truth beside the pictures: it is shown true boxes with noise on them, and
learns to find them again (denoising queries). What it answers then is the cost of its mistakes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from throughline.contracts.errors import InputError
from throughline.training.trainers._offline import local_model, numbered, opened

if TYPE_CHECKING:
    import torch

    from throughline.training.trainers.detection import Options

FAMILIES: Final = ("rt_detr_v2", "d_fine")
_SEES: Final = "preprocessor_config.json"
_HEADS: Final = 8
_RESNET: Final = (64, 128, 256, 512)
_STEM, _INNER, _OUTER = (16, 16), (16, 32, 64, 128), (64, 256, 512, 1024)
"""Channels of HGNetV2 B0: its stem, inside its stages, and what they give."""


def new_network(
    options: Options, canvas: tuple[int, int], labels: tuple[str, ...], transformers: Any
) -> torch.nn.Module:
    """A network of random numbers: at width 1 as wide as the smallest that its authors publish (R18, or N)."""
    if options.model == "d_fine":
        backbone, wide = _hgnet(options.width, transformers), 128
        kind, config, seen = transformers.DFineForObjectDetection, transformers.DFineConfig, backbone.stage_out_channels
    else:
        backbone, wide = _resnet(options.width, transformers), 256
        kind, config, seen = transformers.RTDetrV2ForObjectDetection, transformers.RTDetrV2Config, backbone.hidden_sizes
    wide = _whole(wide, options.width, _HEADS * 4)
    return _as_shipped(
        kind(
            config(
                backbone_config=backbone, encoder_in_channels=list(seen[1:]), decoder_in_channels=[wide] * 3,
                d_model=wide, encoder_hidden_dim=wide, encoder_ffn_dim=4 * wide, decoder_ffn_dim=4 * wide,
                encoder_attention_heads=_HEADS, decoder_attention_heads=_HEADS, hidden_expansion=0.5,
                decoder_layers=options.layers, num_queries=options.queries, num_denoising=options.queries,
                freeze_backbone_batch_norms=False, anchor_image_size=list(canvas), **numbered(labels),
            )
        ),
        canvas,
    )  # fmt: skip


def network_from(weights: str, canvas: tuple[int, int], labels: tuple[str, ...], transformers: Any) -> torch.nn.Module:
    """The network of a folder, with new last layers where its classes are others."""
    folder, said = local_model(weights)
    if said.get("model_type") not in FAMILIES:
        raise InputError(
            f"weights: {folder} is a '{said.get('model_type')}'", f"give one of these: {', '.join(FAMILIES)}"
        )
    _held_to_plain_pictures(folder)
    network = opened(
        transformers.AutoModelForObjectDetection, folder, "detector",
        ignore_mismatched_sizes=True, use_safetensors=True, anchor_image_size=list(canvas), **numbered(labels),
    )  # fmt: skip
    return _as_shipped(network, canvas)


def save_network(network: Any, folder: Path) -> None:
    """Write it as Transformers reads it, together with how it wants to see pictures."""
    network.network.save_pretrained(folder)
    height, width = network.canvas
    seen = {"do_normalize": False, "rescale_factor": 1 / 255, "size": {"height": height, "width": width}}
    (folder / _SEES).write_text(json.dumps(seen, indent=2) + "\n", "utf-8")


def _held_to_plain_pictures(folder: Path) -> None:
    """RT-DETR and D-FINE take colours from 0 to 1; a folder that says otherwise would be shown something strange."""
    path = folder / _SEES
    if not path.is_file():
        return
    try:
        said = json.loads(path.read_text("utf-8"))
        normal = bool(said.get("do_normalize", False))
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path} cannot be read: {error}", "save the image processor again") from None
    if normal:
        raise InputError(
            f"weights: the network of {folder} wants pictures by mean and deviation (do_normalize)",
            "give a network that takes colours from 0 to 1, as RT-DETR and D-FINE are published",
        )


def _resnet(width: float, transformers: Any) -> Any:
    """RT-DETR's: ResNet-18 at width 1."""
    sizes = [_whole(one, width) for one in _RESNET]
    return transformers.RTDetrResNetConfig(
        embedding_size=sizes[0], hidden_sizes=sizes, depths=[2, 2, 2, 2], layer_type="basic", out_indices=[2, 3, 4]
    )


def _hgnet(width: float, transformers: Any) -> Any:
    """D-FINE's backbone: HGNetV2 B0 at width 1."""
    stem, inner, outer = ([_whole(one, width) for one in row] for row in (_STEM, _INNER, _OUTER))
    return transformers.HGNetV2Config(
        stem_channels=[3, *stem], stage_in_channels=[stem[-1], *outer[:-1]], stage_mid_channels=inner,
        stage_out_channels=outer, hidden_sizes=outer, stage_num_blocks=[1, 1, 2, 1], stage_numb_of_layers=[3, 3, 3, 3],
        out_indices=[2, 3, 4],
    )  # fmt: skip


def _whole(size: int, width: float, of: int = 8) -> int:
    return max(of, round(size * width / of) * of)


def _as_shipped(network: Any, canvas: tuple[int, int]) -> torch.nn.Module:
    """It takes ``images`` from 0 to 1, stretched, and answers with logits and boxes, as its exports elsewhere do."""
    import torch

    class Shipped(torch.nn.Module):  # type: ignore[misc]
        learns_with_truth = True

        def __init__(self) -> None:
            super().__init__()
            self.network, self.canvas = network, canvas

        def forward(
            self, images: torch.Tensor, boxes: torch.Tensor | None = None, classes: torch.Tensor | None = None
        ) -> dict[str, torch.Tensor]:
            if boxes is None or classes is None:
                said = self.network(pixel_values=images)
                return {"logits": said.logits, "pred_boxes": said.pred_boxes}
            return {"loss": self.network(pixel_values=images, labels=_told(boxes, classes, self.canvas)).loss}

        def loss(self, answer: Mapping[str, torch.Tensor], *truth: torch.Tensor) -> torch.Tensor:
            return answer["loss"]

    return Shipped()


def _told(boxes: torch.Tensor, classes: torch.Tensor, canvas: tuple[int, int]) -> list[dict[str, torch.Tensor]]:
    """From corners in pixels, padded with the class -1, to centres and sizes as shares of the picture."""
    import torch

    height, width = canvas
    scale = boxes.new_tensor([width, height, width, height])
    low, high = (boxes / scale).split(2, dim=-1)
    shares = torch.cat(((low + high) / 2, high - low), dim=-1)
    return [
        {"class_labels": kind[kind >= 0], "boxes": one[kind >= 0]} for one, kind in zip(shares, classes, strict=True)
    ]
