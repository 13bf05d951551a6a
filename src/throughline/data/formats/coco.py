"""COCO: one JSON file that lists pictures, categories and annotations; classes count from 0 in the order of ids."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from throughline.contracts.errors import InputError
from throughline.data.bounded import inside, read_json
from throughline.data.formats import SPLITS, WHOLE, Entry, Index, Split, name_of, nothing_said
from throughline.data.formats._coco_marks import Annotation, read_marks
from throughline.data.formats._json_lines import JsonLines
from throughline.data.problems import Problems
from throughline.plugins import Plugin

_HEAD = 1 << 20
_KEY = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_OWN = frozenset({"id", "file_name", "width", "height"})


class Coco:
    """An instances file, by itself, or as a folder in which it lies or in whose annotations/ it lies."""

    def recognises(self, path: Path) -> bool:
        """Whether there is a JSON file that lists pictures."""
        return bool(_files(path))

    def index(self, path: Path, problems: Problems) -> Index:
        """One split a file; a file by itself is all there is."""
        files = _files(path)
        named: dict[str, Path] = {}
        for file in files:
            split = _split_of(file, path) if len(files) > 1 else WHOLE
            if split is None or split in named:
                names = ", ".join(str(one.relative_to(path)) for one in files)
                raise InputError(f"{path}: it holds several COCO files: {names}", "give one of them")
            named[split] = file
        readers: dict[str, Callable[[Problems], Split]] = {
            split: partial(_read, file, split) for split, file in named.items()
        }
        if path.is_dir():
            return Index(name_of(path), path, readers)
        return Index(path.name, path.parent, readers)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if _looks(path) else []
    if not path.is_dir() or (path / "data.yaml").exists():
        return []
    places = [path, path / "annotations", *(path / name for name in SPLITS)]
    found = [one for place in places if place.is_dir() for one in sorted(place.glob("*.json")) if _looks(one)]
    instances = [one for one in found if one.name.startswith("instances_")]
    return instances or found


def _looks(path: Path) -> bool:
    """By the names of its lists, of which the first may be long: both ends are looked at."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return False
        size = path.stat().st_size
        file.seek(max(0, size - _HEAD))
        return len(set(_KEY.findall(head + file.read(_HEAD)))) >= 2 or b'"images"' in head[:4096]


def _split_of(file: Path, path: Path) -> str | None:
    """As the file, or the folder that it lies in, is called."""
    words = [file.parent.name.lower()] if file.parent.name.lower() in SPLITS and file.parent != path else []
    words += re.split(r"[^a-z]+", file.stem.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), None)


def _read(file: Path, split: str, problems: Problems) -> Split:
    whole = read_json(file)
    if not isinstance(whole, dict) or not isinstance(whole.get("images"), list):
        raise InputError(f"{file}: it has no list 'images'", "give a COCO file: images, annotations, categories")
    lines = JsonLines(file)
    labels, numbers = _categories(lines, whole, problems)
    pictures = _pictures(lines, whole["images"], problems)
    annotations = whole.get("annotations")
    told = isinstance(annotations, list)
    if not isinstance(annotations, list):
        annotations = []
        problems.add("labels missing", file, "it has no list 'annotations'; nothing is known of its pictures")
    of_picture: dict[int, list[Annotation]] = {number: [] for number in pictures}
    tracked = outlined = False
    for annotation in _annotations(lines, annotations, numbers, of_picture, problems):
        tracked |= annotation.track is not None
        outlined |= annotation.outline is not None
    base = _folder(file, split, pictures)
    entries = []
    for number, (at, one) in pictures.items():
        where, place = f"images[{at}]", inside(base, base, one["file_name"])
        if place is None:
            says = f"'{one['file_name'][:200]}' leads out of {base}"
            lines.note(problems, "path outside", where, says, severe=True)
            continue
        traits = {key: _trait(value) for key, value in one.items() if key not in _OWN and _is_scalar(value)}
        marks = partial(read_marks, lines, where, one, of_picture[number], outlined, tracked) if told else nothing_said
        said_in = file, None if place.is_file() else lines.of(where)
        group = str(traits.pop("video_id", ""))
        entries.append(Entry(place.relative_to(base).as_posix(), place, said_in, marks, traits, group))
    task = None if not told else "segment" if outlined else "detect"
    return Split(entries, labels, task, [(file, None)] * len(labels))


def _categories(lines: JsonLines, whole: dict[str, Any], problems: Problems) -> tuple[tuple[str, ...], dict[int, int]]:
    listed = whole.get("categories", [])
    names: dict[int, str] = {}
    for at, one in enumerate(listed if isinstance(listed, list) else []):
        where = f"categories[{at}]"
        if not isinstance(one, dict) or not _is_int(one.get("id")) or not isinstance(one.get("name"), str):
            lines.note(problems, "malformed line", where, "it needs a whole number 'id' and a 'name'", severe=True)
        elif one["id"] in names:
            lines.note(problems, "duplicate id", where, f"the id {one['id']} was given before", severe=True)
        else:
            if one["name"] in names.values():
                lines.note(problems, "class names", where, f"two classes are called '{one['name']}'")
            if not one["name"].strip():
                lines.note(problems, "class names", where, f"class {one['id']} has no name", severe=True)
            names[one["id"]] = one["name"]
    if not names:
        problems.add("class names", lines.file, "it has no categories", severe=bool(whole.get("annotations")))
    ordered = sorted(names)
    return tuple(names[one] for one in ordered), {one: number for number, one in enumerate(ordered)}


def _pictures(lines: JsonLines, listed: list[Any], problems: Problems) -> dict[int, tuple[int, dict[str, Any]]]:
    pictures: dict[int, tuple[int, dict[str, Any]]] = {}
    called: dict[str, int] = {}
    for at, one in enumerate(listed):
        where = f"images[{at}]"
        name = one.get("file_name") if isinstance(one, dict) else None
        if not isinstance(name, str) or not name or not _is_int(one.get("id")):
            says = "it needs a whole number 'id' and a 'file_name'"
            lines.note(problems, "malformed line", where, says, severe=True)
        elif one["id"] in pictures:
            lines.note(problems, "duplicate id", where, f"the id {one['id']} was given before", severe=True)
        elif name in called:
            says = f"'{name[:200]}' is images[{called[name]}], too"
            lines.note(problems, "same picture twice", where, says, severe=True)
        else:
            called[name] = at
            pictures[one["id"]] = (at, one)
    return pictures


def _annotations(
    lines: JsonLines,
    listed: list[Any],
    numbers: dict[int, int],
    of_picture: dict[int, list[Annotation]],
    problems: Problems,
) -> list[Annotation]:
    kept: list[Annotation] = []
    ids: dict[int, int] = {}
    for at, one in enumerate(listed):
        where = f"annotations[{at}]"
        if not isinstance(one, dict):
            lines.note(problems, "malformed line", where, "it is no object", severe=True)
            continue
        number: Any = one.get("id")
        image: Any = one.get("image_id")
        category: Any = one.get("category_id")
        if _is_int(number) and ids.setdefault(number, at) != at:
            says = f"the id {number} is that of annotations[{ids[number]}]"
            lines.note(problems, "duplicate id", where, says, severe=True)
        if not _is_int(image) or image not in of_picture:
            says = f"image_id {image!r:.40} is the id of no picture"
            lines.note(problems, "label without image", where, says, severe=True)
        elif not _is_int(category) or category not in numbers:
            says = f"category_id {category!r:.40} is the id of no category"
            lines.note(problems, "label out of range", where, says, severe=True)
        else:
            annotation = Annotation.of(where, one, numbers[category])
            of_picture[image].append(annotation)
            kept.append(annotation)
    return kept


def _folder(file: Path, split: str, pictures: dict[int, tuple[int, dict[str, Any]]]) -> Path:
    """Where the pictures lie: beside the file, in images/ or, as COCO itself has it, beside annotations/."""
    own, above = file.parent, file.parent.parent
    tail = file.stem.rpartition("_")[2]
    places = [own, own / "images"]
    if own.name == "annotations":
        places += [above, above / "images", above / tail, above / "images" / tail, above / split]
    sample = [one["file_name"] for _, one in list(pictures.values())[:20]]

    def there(place: Path) -> int:
        found = [inside(place, place, name) for name in sample]
        return sum(one is not None and one.is_file() for one in found)

    best = max(places, key=there)
    return best if there(best) else places[1] if places[1].is_dir() else own


def _is_int(value: object) -> bool:
    return type(value) is int


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float)


def _trait(value: Any) -> str | float:
    return str(value).lower() if isinstance(value, bool) else value


PLUGIN = Plugin(make=Coco, summary="COCO: pictures, categories and annotations in one JSON file", facts={"rank": 1})
