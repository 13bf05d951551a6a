"""``throughline explain``: where a model looked in a picture, or what each column of a row added to its answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from throughline import __version__
from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError
from throughline.data.tables import is_table, open_table
from throughline.evaluation.explanations.gradients import network_of, where_gradients_point
from throughline.evaluation.explanations.occlusion import Looked, asked, where_it_looks
from throughline.evaluation.explanations.report import told, write_looks, write_shares
from throughline.evaluation.explanations.shares import shares_of
from throughline.files import writing
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.terminal import fields, note, table
from throughline.video.pictures import open_pictures
from throughline.vision.detector import detector_for

_LOW = 0.02
"""The least confidence that is still seen while a place is hidden."""
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model looked for one thing in one picture, by one method: occlusion or gradients."""

    picture: str
    kind: str
    confidence: float
    inside: float
    by_chance: float
    method: str = "occlusion"


@dataclass(frozen=True, slots=True)
class ExplainReport:
    """What an answer rests on.

    Attributes:
        model: which model.
        source: what it was shown.
        method: how it was found out.
        places: of pictures, every thing that was looked for, and how much of the heat lies in its box.
        columns: of tables, by how much each column moves the answer on average, the most first.
        off: of tables, how far the shares are from adding up to the answer at most.
        report: the page.
    """

    model: Path
    source: str
    method: str
    places: tuple[Place, ...]
    columns: tuple[tuple[str, float], ...]
    off: float
    report: Path

    def __str__(self) -> str:
        if self.columns:
            head = ("column", "moves the answer by")
            shown = table(head, [(name, f"{value:.4g}") for name, value in self.columns[:_SHOWN]])
        else:
            rows = [
                (one.picture, f"{one.kind} {one.confidence:.2f}", one.method, _share(one.inside), _share(one.by_chance))
                for one in self.places
            ]
            shown = table(("picture", "thing", "method", "heat in its box", "by chance"), rows)
        said = [
            ("method", self.method),
            ("adds up", f"within {self.off:.1e} of what the model says" if self.columns else ""),
            ("report", str(self.report)),
        ]
        return f"{shown}\n\n{fields(said)}"


def explain(
    model: Path,
    /,
    *,
    source: str,
    target: str | None = None,
    pictures: int = 4,
    conf: float = 0.25,
    iou: float = 0.7,
    imgsz: int | None = None,
    decoder: str | None = None,
    class_: str | None = None,
    backend: str = "auto",
    device: str = "auto",
    out: Path | None = None,
    trust: bool = False,
) -> ExplainReport:
    """Show where a model looks: a picture is asked about again with one place after the other hidden.

    A PyTorch network that is built here (--class) shows its gradients beside that, which are taken on the CPU.

    Of a model of tables, show what each column adds to its answers instead (SHAP).

    Args:
        model: The model: any that runs over pictures, or an estimator of tables.
        source: Pictures, a data set or a video; or a table.
        target: The column of a table that the model tells, which is not given to it.
        pictures: How many pictures, evenly spread.
        conf: The least confidence of what is explained.
        iou: Two boxes that overlap more are one object.
        imgsz: The longer side of the model's input, where it is open.
        decoder: How the model's outputs are read, where its file does not say.
        class_: What builds the network that a state dict belongs to (package.module:factory).
        backend: The runtime: auto, onnxruntime, openvino and so on.
        device: Where to run: auto, cpu, gpu or gpu:N.
        out: The folder of the page; runs/explain-MODEL when not given.
        trust: Open a model that is a program and that no passport of this machine vouches for.
    """
    if pictures < 1:
        raise InputError(f"--pictures {pictures}: there would be nothing to show", "give 1 or more")
    if not _LOW < conf < 1:
        raise InputError(f"--conf {conf:g}: it must be from {_LOW} to 1", "leave it away: 0.25 suits most")
    artifact = read_artifact(model)
    folder = out or Path("runs") / f"explain-{artifact.path.stem}"
    if is_table(Path(source)):
        return _of_a_table(artifact, source, target, folder, trust)
    data = open_pictures(source).few(pictures)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    shown, places = [], list[Place]()
    network = network_of(artifact, class_, trust)
    with open_model(artifact.path, backend=backend, device=device, class_=class_, trust=trust) as session:
        options = {"decoder": decoder, "imgsz": imgsz, "iou": iou}
        for number, sample in enumerate(data, 1):
            picture = sample.read()
            size = (picture.shape[0], picture.shape[1])
            seen = detector_for(artifact, session, frame=size, conf=conf, **options)  # type: ignore[arg-type]
            low = detector_for(artifact, session, frame=size, conf=_LOW, **options)  # type: ignore[arg-type]
            looks = [one for one in where_it_looks(low, picture) if one.confidence >= conf]
            if network is not None:
                looks += where_gradients_point(network, seen, picture)
            shown.append((sample.name, picture, asked(seen, [picture])[0], looks))
            places += [_place(sample.name, one) for one in looks]
            note(f"{number} of {len(data)}: {sample.name}: {'; '.join(map(told, looks)) or 'nothing was found'}")
        ran_on = str(session)
    method = "occlusion: a patch of the picture's mean colour, a twelfth of its longer side, in half steps"
    method += "; gradients: LayerCAM at the last reading of each resolution" if network is not None else ""
    about = {"method": method, "model": str(artifact.path), "sha256": artifact.sha256, "ran on": ran_on}
    page = write_looks(folder / "report.html", artifact.path.name, shown, {**about, "throughline": __version__})
    return ExplainReport(artifact.path, source, method, tuple(places), (), 0.0, page)


def _of_a_table(artifact: Artifact, source: str, target: str | None, folder: Path, trust: bool) -> ExplainReport:
    rows = open_table(source, target)
    shares = shares_of(artifact, rows, trust=trust)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    method = f"SHAP of {shares.about}, by {shares.method}"
    about = {
        "method": method, "rows": f"{len(shares.rows):,} of {len(rows):,}, drawn with seed 0", "table": rows.name,
        "table sha256": rows.sha256, "model": str(artifact.path), "sha256": artifact.sha256, "throughline": __version__,
    }  # fmt: skip
    page = write_shares(folder / "report.html", artifact.path.name, shares, about)
    return ExplainReport(artifact.path, source, method, (), tuple(shares.means), shares.off, page)


def _place(name: str, one: Looked) -> Place:
    return Place(name, one.kind, one.confidence, one.inside, one.by_chance, one.method)


def _share(value: float) -> str:
    return f"{value:.1%}" if value == value else ""
