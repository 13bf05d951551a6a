"""YOLO folders: data.yaml, pictures under images/, and for each a text file under labels/ with a line an object.

A picture without a label file has no objects on it; a split without any label file has no truth.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from throughline.contracts.errors import InputError
from throughline.data.bounded import Written, inside, read_text, read_yaml
from throughline.data.formats import SPLITS, Entry, Index, Split, name_of
from throughline.data.formats._yolo_labels import Layout, read_labels
from throughline.data.pictures import SUFFIXES, in_order, pictures_under
from throughline.data.problems import Problems
from throughline.plugins import Plugin

_KNOWN = frozenset({"path", "train", "val", "test", "names", "nc", "kpt_shape", "flip_idx", "channels", "download"})
_SPLITS = ("train", "val", "test")
_LOOKS = re.compile(r"^(names|train|val|test)[ \t]*:", re.M)
_MOST_NAMES, _MOST_LIST = 100_000, 1 << 28


class Yolo:
    """A ``data.yaml``, by itself or as the folder that it lies in."""

    def recognises(self, path: Path) -> bool:
        """Whether there is a YAML file that speaks of splits or names."""
        return _yaml_of(path) is not None

    def index(self, path: Path, problems: Problems) -> Index:
        """Read data.yaml; the lists of pictures are read split by split."""
        file = _yaml_of(path)
        assert file is not None
        told = read_yaml(file)
        told = {**told, **{SPLITS[key]: told[key] for key in told if key in SPLITS and SPLITS[key] not in told}}
        labels, named_in = _names(file, told, problems)
        root = _root(file, told)
        _unknown_keys(file, root, told, problems)
        layout = Layout(labels, named_in, _keypoints(file, told))
        splits: dict[str, Callable[[Problems], Split]] = {
            name: partial(_split, file, root, told[name], layout) for name in _SPLITS if _says(told, name)
        }
        if not splits:
            raise InputError(
                f"{file}: it names no pictures: there is no train, val or test",
                "write, say, `val: images/val`, the folder of the pictures as seen from this file",
            )
        name = name_of(file.absolute().parent) if file.stem == "data" else file.stem
        return Index(name, root, splits)


def _unknown_keys(file: Path, root: Path, told: Mapping[str, Written], problems: Problems) -> None:
    """Those that look like typos. One that names pictures is severe: another split would be taken in its place."""
    for key, written in told.items():
        if key in _KNOWN or key in SPLITS:
            continue
        if close := difflib.get_close_matches(key.lower(), _KNOWN, n=1, cutoff=0.7):
            places = [inside(root, root, text) for text in _texts(written)]
            pictures = close[0] in _SPLITS and any(place is not None and place.exists() for place in places)
            says = f"the key '{key}' is not known; did you mean '{close[0]}'?"
            problems.add("unknown key", file, says, line=written.line, severe=pictures)


def _yaml_of(path: Path) -> Path | None:
    if path.is_dir():
        own = [path / name for name in ("data.yaml", "data.yml") if (path / name).is_file()]
        others = [one for one in sorted(path.iterdir()) if one.suffix.lower() in {".yaml", ".yml"} and _looks(one)]
        return own[0] if own else others[0] if len(others) == 1 else None
    if not path.is_file():
        return None
    return path if path.suffix.lower() in {".yaml", ".yml"} or _looks(path) else None


def _looks(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1 << 16)
    return (
        b"\0" not in head
        and not head.lstrip().startswith((b"{", b"[", b"<"))
        and bool(_LOOKS.search(head.decode("utf-8", "replace")))
    )


def _says(told: Mapping[str, Written], key: str) -> bool:
    return key in told and (not isinstance(told[key].value, str) or told[key].text is not None)


def _names(
    file: Path, told: Mapping[str, Written], problems: Problems
) -> tuple[tuple[str, ...], tuple[tuple[Path, int | None], ...]]:
    written = told.get("names")
    line = written.line if written else None
    if written is None or isinstance(written.value, str):
        raise InputError(f"{file}:{line or 1}: the class names are missing", "write `names:` and one `0: name` a line")
    value = written.value
    listed = _by_number(file, value, problems) if isinstance(value, dict) else list(value)
    if not listed:
        raise InputError(f"{file}:{line}: there is no class name", "write one `0: name` a line")
    if len(listed) > _MOST_NAMES:
        raise InputError(f"{file}:{line}: {len(listed):,} class names", f"at most {_MOST_NAMES:,} are read")
    names: dict[str, None] = {}
    labels = []
    for number, one in enumerate(listed):
        name = one.value.strip() if isinstance(one.value, str) else ""
        if not name:
            problems.add("class names", file, f"class {number} has no name", line=one.line, severe=True)
        elif name in names:
            problems.add("class names", file, f"two classes are called '{name}'", line=one.line)
        names[name] = None
        labels.append(name)
    count = told["nc"].text if "nc" in told else None
    if count is not None and count != str(len(labels)):
        says = f"nc is {count}, and there are {len(labels)} names"
        problems.add("class names", file, says, line=told["nc"].line, severe=True)
    return tuple(labels), tuple((file, one.line) for one in listed)


def _by_number(file: Path, pairs: Mapping[str, Written], problems: Problems) -> list[Written]:
    numbered: dict[int, Written] = {}
    for key, value in pairs.items():
        if not re.fullmatch(r"\d{1,6}", key):
            raise InputError(f"{file}:{value.line}: '{key}' is no class number", "write `0: name`, `1: name` and so on")
        numbered[int(key)] = value
    for number in range(min(len(numbered), _MOST_NAMES)):
        if number not in numbered:
            line = next(iter(pairs.values())).line
            says = f"class {number} has no name, and there are names up to {max(numbered)}"
            problems.add("class names", file, says, line=line, severe=True)
            break
    return [numbered[number] for number in sorted(numbered)]


def _keypoints(file: Path, told: Mapping[str, Written]) -> tuple[int, int] | None:
    if not _says(told, "kpt_shape"):
        return None
    value = told["kpt_shape"].value
    numbers = [one.text or "" for one in value] if isinstance(value, list) else []
    if len(numbers) != 2 or not re.fullmatch(r"\d{1,4}", numbers[0]) or numbers[1] not in ("2", "3"):
        raise InputError(f"{file}:{told['kpt_shape'].line}: kpt_shape is not two numbers", "write, say, [17, 3]")
    return int(numbers[0]), int(numbers[1])


def _root(file: Path, told: Mapping[str, Written]) -> Path:
    """The folder that the splits are named from. A ``path`` that was right on another machine is passed over."""
    own = file.parent
    path = told["path"].text if "path" in told else None
    if path is None:
        return own
    root = inside(own, own, path)
    if root is not None and root.is_dir():
        return root
    lists = [one for name in _SPLITS if _says(told, name) for one in _texts(told[name])]
    if lists and all((place := inside(own, own, one)) is not None and place.exists() for one in lists):
        return own
    why = "it leads out of the folder of this file" if root is None else "there is no such folder"
    raise InputError(
        f"{file}:{told['path'].line}: path is '{path}': {why}",
        "put this file into the folder that holds the pictures, and leave `path` away",
    )


def _texts(written: Written) -> list[str]:
    values = written.value if isinstance(written.value, list) else [written]
    return [one.text for one in values if one.text is not None]


def _split(file: Path, root: Path, written: Written, layout: Layout, problems: Problems) -> Split:
    entries: list[Entry] = []
    seen: set[Path] = set()
    texts = _texts(written)
    if not texts:
        problems.add("images missing", file, "it names no folder and no list", line=written.line, severe=True)
    for text in texts:
        for picture, said_in in _listed(file, root, text, written.line, problems):
            if picture in seen:
                says = f"{picture.relative_to(root)} is listed twice; it is taken once"
                problems.add("same picture twice", said_in[0], says, line=said_in[1])
                continue
            seen.add(picture)
            entries.append(Entry(picture.relative_to(root).as_posix(), picture, said_in))
    labels = {entry.path: _label_of(root, entry.path) for entry in entries}
    known = set(labels.values())
    _without_picture(labels, problems)
    if entries and not any(label.is_file() for label in known):
        says = f"not one of its {len(entries)} pictures has a label file (the first would be {labels[entries[0].path]})"
        problems.add("labels missing", file, says, line=written.line)
        return Split(entries, layout.labels, named_in=layout.named_in)
    told = [
        Entry(entry.name, entry.path, entry.said_in, partial(read_labels, labels[entry.path], layout))
        for entry in entries
    ]
    written_in = [label for label in labels.values() if label.is_file()]
    return Split(told, layout.labels, named_in=layout.named_in, written_in=written_in)


def _listed(
    file: Path, root: Path, text: str, line: int, problems: Problems
) -> Iterator[tuple[Path, tuple[Path, int | None]]]:
    """The pictures that a folder, a list or a name stands for, and where it is said that they are there."""
    place = inside(root, root, text)
    if place is None or not place.exists():
        # as some tools write it, seen from a folder beside the file: ../train/images
        plain = inside(root, root, re.sub(r"^(\.\./)+", "", text))
        if plain is not None and plain.exists():
            place = plain
    if place is None:
        says = f"'{text}' leads out of the folder {root}"
        problems.add("path outside", file, says, line=line, severe=True)
    elif place.is_dir():
        found = pictures_under(place)
        if not found:
            problems.add("images missing", file, f"there is no picture in {place}", line=line, severe=True)
        for path in found:
            yield path, (path, None)
    elif not place.is_file():
        problems.add("images missing", file, f"'{text}' is not there", line=line, severe=True)
    elif place.suffix.lower() in SUFFIXES:
        yield place, (file, line)
    else:
        yield from _from_list(place, root, problems)


def _from_list(file: Path, root: Path, problems: Problems) -> Iterator[tuple[Path, tuple[Path, int | None]]]:
    for number, text in enumerate(read_text(file, _MOST_LIST).splitlines(), 1):
        if not text.strip():
            continue
        beside, below = inside(root, file.parent, text.strip()), inside(root, root, text.strip())
        picture = below if below is not None and (beside is None or not beside.exists()) else beside
        if picture is None:
            says = f"'{text.strip()[:200]}' leads out of the folder {root}"
            problems.add("path outside", file, says, line=number, severe=True)
        else:
            yield picture, (file, number)


def _label_of(root: Path, picture: Path) -> Path:
    """labels/a.txt for images/a.jpg, by the last folder of that name; beside the picture where there is none."""
    parts = list(picture.relative_to(root).parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "images":
            parts[at] = "labels"
            break
    return root.joinpath(*parts).with_suffix(".txt")


def _without_picture(labels: Mapping[Path, Path], problems: Problems) -> None:
    """A label file may be that of a picture of another split; it is noted where there is no picture at all."""
    known = set(labels.values())
    for folder, pictures in sorted({(label.parent, picture.parent) for picture, label in labels.items()}):
        if folder == pictures or not folder.is_dir():
            continue
        pictured = {os.path.splitext(name)[0] for name in os.listdir(pictures)} if pictures.is_dir() else set()
        for name in sorted(os.listdir(folder), key=in_order):
            path = folder / name
            hidden = name.startswith(".")
            if path.suffix == ".txt" and not hidden and path not in known and path.stem not in pictured:
                problems.add("label without image", path, "there is no picture for this label file")


PLUGIN = Plugin(make=Yolo, summary="YOLO: data.yaml, images/ and labels/", needs=("yaml",), facts={"rank": 1})
