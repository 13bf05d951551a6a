"""Texts with their classes out of a table: split, turned into tokens, and judged by word counts first."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, nearest
from throughline.contracts.tables import Table
from throughline.data.columns import missing_in
from throughline.data.splits import split
from throughline.data.tables import open_table
from throughline.files import whole_file

if TYPE_CHECKING:
    from throughline.training.trainers.text import Options

SPECIAL: Final = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_SHOWN: Final = 6


@final
@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """What is learned from, and what it is judged by: each text with the number of its class.

    ``left_out`` counts texts that are not learned from because what judges holds the same one, or one of its group.
    """

    labels: tuple[str, ...]
    train: Sequence[tuple[str, int]]
    val: Sequence[tuple[str, int]]
    left_out: int
    sha256: str

    def always_the_commonest(self) -> dict[str, float]:
        """The scores of always naming the class that is most frequent among what is learned from."""
        most = _commonest(kind for _, kind in self.train)
        return scores([most] * len(self.val), [kind for _, kind in self.val])

    def used(self) -> dict[str, Any]:
        """All that is used of the data, for whoever asks later."""
        return {"sha256": self.sha256, "learned": len(self.train), "judged": len(self.val)}


def read_texts(data: str, options: Options, seed: int) -> Texts:
    """The texts of a table, and those of another or a share of it to validate on."""
    table = open_table(data, options.target)
    rows = _rows(table, options)
    if options.validation:
        other = open_table(options.validation, options.target)
        known, judging, sha256 = rows, _rows(other, options), _both(table, other)
    else:
        shares = {"train": 1 - options.holdout, "val": options.holdout}
        parts = split([str(number) for number in range(len(rows))], [group for *_, group in rows], shares, seed)
        known, judging = ([rows[at] for at in parts[name].tolist()] for name in ("train", "val"))
        sha256 = table.sha256
    texts, groups = {text for text, *_ in judging}, {group for *_, group in judging}
    val = [(text, kind) for text, kind, _ in judging]
    train = [(text, kind) for text, kind, group in known if text not in texts and group not in groups]
    labels = tuple(sorted({kind for _, kind in train}))
    if len(labels) < 2:
        raise InputError(
            f"{data}: the texts to learn from are all of the class {labels[0]!r}"
            if labels
            else f"{data}: each of its {len(known)} texts is among those to validate on: none is left to learn from",
            "give texts of two classes or more",
        )
    if unknown := sorted({kind for _, kind in val} - set(labels)):
        raise InputError(
            f"the texts to validate on have the class {unknown[0]!r}, which is not among those to learn from "
            f"({', '.join(labels[:_SHOWN])})",
            "give more texts of that class, or leave it out",
        )
    number = {label: at for at, label in enumerate(labels)}
    taught, judged = ([(text, number[kind]) for text, kind in part] for part in (train, val))
    return Texts(labels, taught, judged, len(known) - len(train), sha256)


def word_counts(texts: Texts) -> dict[str, float]:
    """What a straight line through weighted counts of words and pairs of words reaches."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    known = [kind for _, kind in texts.train]
    try:
        counted = words.fit_transform([text for text, _ in texts.train])
    except ValueError:  # there is no word in any of them
        return texts.always_the_commonest()
    line = LogisticRegression(C=10.0, max_iter=1000).fit(counted, known)
    said = line.predict(words.transform([text for text, _ in texts.val]))
    return scores(said, [kind for _, kind in texts.val])


def scores(said: Array | Sequence[int], true: Array | Sequence[int]) -> dict[str, float]:
    """Accuracy, and F1 with every class counting alike."""
    from sklearn.metrics import f1_score

    right = float(np.mean(np.asarray(said) == np.asarray(true)))
    return {"accuracy": right, "f1": float(f1_score(true, said, average="macro", zero_division=0))}


def learned_tokens(texts: Sequence[str], vocabulary: int, longest: int, transformers: Any) -> Any:
    """A tokenizer of bytes and of what often stands together in these texts; nothing is unknown to it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokens = Tokenizer(models.BPE())
    tokens.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokens.decoder = decoders.ByteLevel()
    tokens.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=2,
            special_tokens=list(SPECIAL.values()),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    ends = [(SPECIAL[name], tokens.token_to_id(SPECIAL[name])) for name in ("cls", "sep")]
    tokens.post_processor = processors.TemplateProcessing(
        single=f"{SPECIAL['cls']} $A {SPECIAL['sep']}", special_tokens=ends
    )
    named = {f"{name}_token": token for name, token in SPECIAL.items()}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, model_max_length=longest, **named)


def write_tokens(tokenizer: Any, longest: int, path: Path) -> Path:
    """The tokenizer as one file that the library ``tokenizers`` opens: it cuts and pads as the model was taught."""
    from tokenizers import Tokenizer

    tokens = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    tokens.enable_truncation(longest, direction=tokenizer.truncation_side)
    tokens.enable_padding(
        direction=tokenizer.padding_side, pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token
    )
    with whole_file(path) as draft:
        tokens.save(str(draft))
    return path


def _rows(table: Table, options: Options) -> list[tuple[str, str, str]]:
    """Every text with its class, and what it must not be parted from: the same text, where no column says."""
    wanted = [options.text, options.target, *([options.group] if options.group else [])]
    for name in wanted:
        if name not in table.columns:
            raise InputError(f"{table.name}: there is no column '{name}'", nearest(name, table.columns))
    if table.columns[options.text].dtype != object:
        kind = table.columns[options.text].dtype
        raise InputError(
            f"{table.name}: the column '{options.text}' holds {kind}, not text", "name the column of texts"
        )
    for name in wanted:
        if len(gaps := np.flatnonzero(missing_in(table.columns[name]))):
            raise InputError(f"{table.name}: row {gaps[0] + 1} has no '{name}'", "fill it, or leave the row out")
    columns = [table.columns[name].tolist() for name in wanted]
    return [(row[0], str(row[1]), str(row[2] if options.group else row[0])) for row in zip(*columns, strict=True)]


def _commonest(kinds: Iterable[int]) -> int:
    count = Counter(kinds)
    return min(count, key=lambda kind: (-count[kind], kind))


def _both(one: Table, other: Table) -> str:
    return hashlib.sha256(f"{one.sha256} {other.sha256}".encode()).hexdigest()
