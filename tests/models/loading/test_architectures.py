"""The architecture that a state dict needs: built by name, and every way to get the name wrong told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from throughline.contracts.errors import InputError  # noqa: E402
from throughline.models.loading.architectures import architecture, fill  # noqa: E402

SOURCE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.f = torch.nn.Linear(2, 3)
    def forward(self, x):
        return self.f(x)

def needs(size): ...
def gives(): return 7
def fails(): raise RuntimeError("no GPU")
constant = 3
"""


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shapes_of_mine.py").write_text(SOURCE)
    (tmp_path / "broken_of_mine.py").write_text("import a_package_nobody_has")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_it_builds_and_fills() -> None:
    module = architecture("shapes_of_mine:Net")
    assert not module.training
    tensors = {"f.weight": torch.ones(3, 2), "f.bias": torch.zeros(3)}
    assert torch.equal(fill(module, tensors)(torch.ones(1, 2)), torch.full((1, 3), 2.0))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("shapes_of_mine", "does not name a factory"),
        ("shapes_of_mine:", "does not name a factory"),
        ("shapes of mine:Net", "does not name a factory"),
        ("no_such_module_here:Net", "there is no module 'no_such_module_here'"),
        ("broken_of_mine:Net", "needs the module 'a_package_nobody_has'"),
        ("shapes_of_mine:Ne", "has no 'Ne'"),
        ("shapes_of_mine:constant", "cannot be called"),
        ("shapes_of_mine:needs", "cannot be built without arguments"),
        ("shapes_of_mine:fails", "RuntimeError: no GPU"),
        ("shapes_of_mine:gives", "gave int, not a torch.nn.Module"),
    ],
)
def test_each_mistake_has_its_own_words(spec: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        architecture(spec)
    assert error.value.fix


def test_weights_that_do_not_fit_are_named() -> None:
    with pytest.raises(
        InputError, match=r"missing: f.bias; unexpected: g; of another shape: f.weight is \[2\], not \[3, 2\]"
    ):
        fill(architecture("shapes_of_mine:Net"), {"f.weight": torch.ones(2), "g": torch.ones(1)})
