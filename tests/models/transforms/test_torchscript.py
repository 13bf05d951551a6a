from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_networks import artifact, classifier, named, of_one_batch, undecided

from throughline.bundled import DETECTOR
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.artifact import Given, read_artifact
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS

FACTS = Given(task="classify", labels=("a", "b", "c", "d", "e"), stride=8, imgsz=(32, 48))


def test_a_trace_gives_the_same_answers_and_remembers_the_labels(tmp_path: Path) -> None:
    source, target = artifact(classifier, tmp_path, FACTS), tmp_path / "made.torchscript"
    made = TRANSFORMS.make("torchscript", source, target, class_=named(classifier))
    assert made.notes == (
        "nothing says what it takes: images float32[batch, 3, height, width] was read off its first layer",
    )
    assert made.changes["inputs"] == read_artifact(target).inputs
    assert [str(spec) for spec in read_artifact(target).inputs] == ["images float32[batch, 3, height, width]"]
    about = read_artifact(target).passport
    assert (about.labels, about.stride, about.imgsz, about.task) == (FACTS.labels, 8, (32, 48), "classify")
    with open_model(target, trust=True) as here, open_model(source.path, class_=named(classifier)) as there:
        for shape in ((1, 3, 32, 48), (3, 3, 16, 24)):
            feeds = {"images": np.random.default_rng(4).random(shape, np.float32)}
            np.testing.assert_allclose(here.predict(feeds)["output0"], there.predict(feeds)["output0"], atol=1e-6)


def test_a_trace_that_is_no_longer_the_network_is_refused(tmp_path: Path) -> None:
    for factory in (of_one_batch, undecided):
        source = artifact(factory, tmp_path, Given(imgsz=(8, 8)))
        with pytest.raises(ModelRefused, match="its trace gives other answers than the network"):
            TRANSFORMS.make("torchscript", source, tmp_path / "made.torchscript", class_=named(factory))
    assert not (tmp_path / "made.torchscript").exists()


def test_what_cannot_become_torchscript_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is onnx; 'torchscript' takes") as raised:
        TRANSFORMS.make("torchscript", read_artifact(DETECTOR), tmp_path / "made.torchscript")
    assert "checkpoint it was exported from" in raised.value.fix
    program = tmp_path / "program.pt2"
    TRANSFORMS.make("pt2", artifact(classifier, tmp_path, FACTS), program, class_=named(classifier))
    with pytest.raises(InputError, match="a trace of it forgets which sizes are open"):
        TRANSFORMS.make("torchscript", read_artifact(program), tmp_path / "made.torchscript", trust=True)
