"""Classes of texts: a Transformers encoder, fine-tuned from a folder or grown small from the data alone.

What it has to be better than is found first: the most frequent class, and word counts with a straight line through
them, which are hard to beat on a few hundred rows, and say at once when a network is not worth its price.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array, Step, TensorSpec
from throughline.contracts.errors import InputError
from throughline.plugins import Plugin
from throughline.settings import setting
from throughline.training.loop.surroundings import seeded, torch_device
from throughline.training.recipe import Recipe
from throughline.training.run import Run, Trained
from throughline.training.trainers._offline import local_model, numbered, offline, opened, parent_of
from throughline.training.trainers._program import write_onnx
from throughline.training.trainers._teacher import (
    CHECKPOINTS,
    WEIGHTS,
    hold_to_data,
    keep_learned,
    learned_before,
    teach,
)
from throughline.training.trainers._texts import Texts, learned_tokens, read_texts, scores, word_counts, write_tokens

if TYPE_CHECKING:
    import torch

_PROVEN_ON: Final = 32
"""Texts on which the exported graph is held to the network."""
_INPUTS: Final = ("input_ids", "attention_mask")


@final
@dataclass(frozen=True, slots=True)
class Options:
    """What ``text`` can be told."""

    text: str = setting("text", "the column that holds the texts", "the name of a column", pattern=r"(?s).+")
    target: str = setting("label", "the column that holds their classes", "the name of a column", pattern=r"(?s).+")
    group: str = setting("", "the column of what stays in one split: a customer, a document", "a column, or nothing")
    validation: str = setting("", "a table to validate on; a share of the data where there is none", "a path")
    holdout: float = setting(0.2, "the share to validate on, where no table is given", "0.01 to 0.9", 0.01, 0.9)
    weights: str = setting(
        "", "what it begins with", "the folder of a Transformers model, or nothing for a small new one"
    )
    width: int = setting(64, "how wide a new network is", "8 to 4096, divisible by the heads", 8, 4096)
    layers: int = setting(2, "how many layers a new network has", "1 to 48", 1, 48)
    heads: int = setting(4, "how many heads a new network attends with", "1 to 64", 1, 64)
    vocabulary: int = setting(4000, "how many tokens a new network knows at most", "300 to 1000000", 300, 1_000_000)
    longest: int = setting(128, "the most tokens of a text; what is longer is cut", "4 to 8192", 4, 8192)
    epochs: int = setting(10, "how often it sees everything", "1 to 100000", 1, 100_000)
    batch: int = setting(16, "texts in one step", "1 to 65536", 1, 65_536)
    accumulate: int = setting(1, "batches whose gradients make one step", "1 to 1024", 1, 1024)
    lr: float = setting(
        0.0, "the highest learning rate; 0 is 2e-3 for a new network, 5e-5 for weights it begins with", "0 to 10", 0, 10
    )
    warmup: float = setting(0.06, "the share of all steps in which the learning rate climbs", "0 to 1", 0, 1)
    weight_decay: float = setting(0.01, "AdamW's weight decay", "0 to 1", 0, 1)
    clip: float = setting(1.0, "the largest norm of the gradients; 0 is any", "0 or more")
    precision: str = setting(
        "auto", "what it computes in while it learns", "", choices=("auto", "float32", "bfloat16", "float16")
    )
    patience: int = setting(3, "end after so many epochs without a better one; 0 is never", "0 to 10000", 0, 10_000)
    decides: str = setting("f1", "which metric says what is better", "", choices=("f1", "accuracy"))

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise InputError(f"width {self.width} is not divisible by heads {self.heads}", "give a multiple")


def train(recipe: Recipe, run: Run) -> Trained:
    """Fine-tune a classifier of texts."""
    options: Options = recipe.options
    parent = parent_of(options.weights) if options.weights else None
    texts = read_texts(recipe.data, options, recipe.seed)
    hold_to_data(run, texts.used())
    with seeded(recipe.seed, torch_device(run.device)), offline(recipe.seed) as transformers:
        baseline, counted = texts.always_the_commonest(), word_counts(texts)
        run.say(
            f"{len(texts.train)} texts of {len(texts.labels)} classes to learn from, {len(texts.val)} to validate on; "
            f"the most frequent class is right for {baseline['accuracy']:.3f} of them, word counts are for "
            f"{counted['accuracy']:.3f} (F1 {counted['f1']:.3f})"
        )
        if texts.left_out:
            run.say(f"{texts.left_out} texts are not learned from: those to validate on hold the same, or their group")
        if not run.resume:
            run.log({f"word counts/{name}": value for name, value in counted.items()}, 0)
        module, tokenizer, metrics = learned(texts, recipe, run, transformers)
        companion = write_tokens(tokenizer, options.longest, run.folder / "tokenizer.json")
        about = {"task": "classify", "labels": texts.labels}
        path = run.folder / "model.onnx"
        if run.resume:
            for draft in run.folder.glob(f".{path.stem}-*"):
                shutil.rmtree(draft)  # what a kill left of a file that was being made
        verified = write_onnx(
            _logits_of(module), path, _interface(), _example(), about,
            arrays=_arrays([text for text, _ in texts.val[:_PROVEN_ON]], tokenizer, options.longest),
        )  # fmt: skip
    shutil.rmtree(run.folder / CHECKPOINTS, ignore_errors=True)
    return Trained(
        path, metrics, options.decides, True, texts.sha256,
        about=about, companions=(companion,), baseline=baseline, parent=parent,
        steps=(Step("data", texts.used() | {"word_counts": counted}),), evidence=(verified.verdict,),
    )  # fmt: skip


def learned(texts: Texts, recipe: Recipe, run: Run, transformers: Any) -> tuple[Any, Any, dict[str, float]]:
    """The network, its tokenizer and its metrics: those of a run that had learned already, or learned now."""
    options: Options = recipe.options
    if (metrics := learned_before(run)) is not None:
        folder = run.folder / WEIGHTS
        tokenizer = opened(transformers.AutoTokenizer, folder, "tokenizer")
        module = opened(transformers.AutoModelForSequenceClassification, folder, "classifier of texts")
        return module, tokenizer, metrics
    if options.weights:
        tokenizer = _its_tokenizer(options.weights, transformers)
    else:
        known = [text for text, _ in texts.train]
        tokenizer = learned_tokens(known, options.vocabulary, options.longest, transformers)
    module = _network(options, texts.labels, tokenizer, transformers)
    metrics = teach(
        module,
        _rows(texts.train, tokenizer, options.longest),
        transformers.DataCollatorWithPadding(tokenizer),
        lambda network: _measured(network, texts, tokenizer, options),
        options, options.lr or (5e-5 if options.weights else 2e-3), options.decides, recipe.seed, run, transformers,
    )  # fmt: skip
    module.cpu()
    keep_learned(run, metrics, module, tokenizer)
    return module, tokenizer, metrics


def _its_tokenizer(weights: str, transformers: Any) -> Any:
    folder, _ = local_model(weights)
    if not (folder / "tokenizer.json").is_file():
        raise InputError(
            f"weights: {folder} has no tokenizer.json", "save its tokenizer in the same folder, as a fast one"
        )
    tokenizer = opened(transformers.AutoTokenizer, folder, "tokenizer")
    if tokenizer.pad_token_id is None:
        raise InputError(f"weights: the tokenizer in {folder} has no padding token", "give it one, and save it again")
    return tokenizer


def _network(options: Options, labels: tuple[str, ...], tokenizer: Any, transformers: Any) -> Any:
    named = numbered(labels)
    if options.weights:
        folder, _ = local_model(options.weights)
        module = opened(
            transformers.AutoModelForSequenceClassification, folder, "classifier of texts",
            ignore_mismatched_sizes=True, use_safetensors=True, **named,
        )  # fmt: skip
        room = getattr(module.config, "max_position_embeddings", None)
        room = min(room if isinstance(room, int) and room > 0 else options.longest, tokenizer.model_max_length)
        if room < options.longest:
            raise InputError(f"longest {options.longest}: the model in {folder} takes {room} tokens", "give fewer")
        return module
    ends = {"cls": tokenizer.cls_token_id, "bos": tokenizer.cls_token_id}
    ends |= {"sep": tokenizer.sep_token_id, "eos": tokenizer.sep_token_id, "pad": tokenizer.pad_token_id}
    return transformers.ModernBertForSequenceClassification(
        transformers.ModernBertConfig(
            vocab_size=len(tokenizer),
            hidden_size=options.width,
            intermediate_size=options.width * 3 // 2,
            num_hidden_layers=options.layers,
            num_attention_heads=options.heads,
            max_position_embeddings=options.longest,
            global_attn_every_n_layers=1,
            classifier_pooling="mean",  # from few texts a first token learns to gather the others far too late
            **{f"{name}_token_id": number for name, number in ends.items()},
            **named,
        )
    )


def _measured(module: Any, texts: Texts, tokenizer: Any, options: Options) -> dict[str, float]:
    """Accuracy, F1 and loss on the texts to validate on."""
    import torch

    said, lost = list[int](), 0.0
    for start in range(0, len(texts.val), options.batch):
        part = texts.val[start : start + options.batch]
        feeds = _arrays([text for text, _ in part], tokenizer, options.longest)
        true = torch.tensor([kind for _, kind in part], device=module.device)
        with torch.inference_mode():
            logits = module(**{name: torch.from_numpy(feed).to(module.device) for name, feed in feeds.items()}).logits
        lost += float(torch.nn.functional.cross_entropy(logits.float(), true, reduction="sum"))
        said += logits.argmax(dim=1).tolist()
    return {**scores(said, [kind for _, kind in texts.val]), "loss": lost / len(texts.val)}


def _rows(texts: Sequence[tuple[str, int]], tokenizer: Any, longest: int) -> list[dict[str, Any]]:
    told = tokenizer([text for text, _ in texts], truncation=True, max_length=longest)
    return [{**{name: told[name][at] for name in _INPUTS}, "labels": kind} for at, (_, kind) in enumerate(texts)]


def _arrays(texts: Sequence[str], tokenizer: Any, longest: int) -> dict[str, Array]:
    told = tokenizer(texts, truncation=True, max_length=longest, padding=True, return_tensors="np")
    return {name: np.asarray(told[name], np.int64) for name in _INPUTS}


def _interface() -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, "int64", ("batch", "tokens")) for name in _INPUTS)


def _example() -> tuple[torch.Tensor, ...]:
    import torch

    return torch.ones((2, 7), dtype=torch.int64), torch.ones((2, 7), dtype=torch.int64)


def _logits_of(module: Any) -> Any:
    """The network as it ships: tokens and what of them counts in, one number for each class out."""
    from torch import nn

    class Classifier(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = module

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": self.network(input_ids=input_ids, attention_mask=attention_mask).logits}

    return Classifier()


PLUGIN = Plugin(
    make=train,
    summary="classes of texts: a Transformers encoder, fine-tuned or grown small",
    needs=("transformers", "accelerate", "tokenizers", "safetensors", "sklearn", "torch", "onnx", "onnxscript"),
    extra="train",
    facts={"options": Options},
)
