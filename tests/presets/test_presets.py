"""Presets give the originals' values and gradients, over the whole grid; heads take the originals' checkpoints."""

import math
import pickle
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lossary import presets
from presets import peers, stored
from presets.grid import EXEMPT, Call, calls

CALLS: dict[str, list[Call]] = {}
for call in calls():
    CALLS.setdefault(call.peer, []).append(call)

each_peer = pytest.mark.parametrize("peer", CALLS)


@each_peer
def test_equals_the_stored_answers_of_the_original(peer: str) -> None:
    record = stored.load()[peer]
    again = "the grid has changed: python scripts/record_presets.py"
    assert record["calls"] == stored.digest(CALLS[peer]), again
    for call, (value, *products) in zip(CALLS[peer], record["answers"], strict=True):
        ours, gradient = peers.answer(peers.ours(call), call)
        assert ours == pytest.approx(value, rel=10 * call.tolerance, abs=10 * call.tolerance), call.key
        size = max(map(abs, gradient)) * len(gradient) ** 0.5
        assert stored.summary(gradient) == pytest.approx(products, abs=10 * call.tolerance * size), call.key


@each_peer
def test_equals_the_original_where_it_is_installed(peer: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the original's own
        if peers.find(peer) is None:
            pytest.skip(f"{peer} is not installed")
        for call in CALLS[peer]:
            apart = stored.difference(peers.answer(peers.ours(call), call), peers.answer(peers.original(call), call))
            assert apart <= call.tolerance, call.key


@each_peer
def test_every_preset_is_compared(peer: str) -> None:
    compared = Counter(call.preset for call in CALLS[peer])
    public = set(getattr(presets, peer).__all__) - {"load_head"}
    assert public == set(compared) == set(peers.CLASSES[peer])
    assert all(getattr(getattr(presets, peer), name).__doc__ for name in public)


@each_peer
def test_every_preset_is_in_the_docs(peer: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()
    public = getattr(presets, peer).__all__
    assert all(f"| `{peer}.{name}` |" in page for name in set(public) - {"load_head"})
    assert f"::: lossary.presets.{peer}\n    options:\n      members: [{', '.join(public)}]\n" in page


def test_exemptions_are_of_presets() -> None:
    for name in EXEMPT:
        peer, preset = name.split(".")
        assert preset in getattr(presets, peer).__all__


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (presets.monai.dice, "sigmoid, softmax: wanted one of them"),
        (lambda: presets.monai.dice_ce(softmax=True, reduction="none"), "reduction: wanted one of 'mean', 'sum'"),  # type: ignore[arg-type]
        (lambda: presets.monai.dice(softmax=True, weight=(1.0, -1.0)), "weight: wanted no number below 0"),
        (lambda: presets.monai.focal(weight=-1.0), "weight: wanted no number below 0"),
        (lambda: presets.monai.dice(sigmoid=True, jaccard=True, squared_pred=True), "squared_pred: wanted False"),
        (lambda: presets.segmentation_models_pytorch.dice("multi"), "mode: wanted one of 'binary'"),
        (lambda: presets.segmentation_models_pytorch.dice("binary", class_weights=[1.0]), "class_weights: wanted None"),
        (lambda: presets.insightface.combined_margin(3, 2, 64.0, 0.9, 0.4, 0.0), "m1, m3: wanted m3 above 0"),
        (lambda: presets.sentence_transformers.triplet("dot"), "distance_metric: wanted one of 'cosine'"),  # type: ignore[arg-type]
        (lambda: presets.kornia.dice("weighted"), "average: wanted one of 'micro'"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_is_refused_by_name(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_soft_labels_beside_a_softmax_are_refused() -> None:
    loss = presets.monai.dice(softmax=True)
    with pytest.raises(ValueError, match="target: wanted one of 0, 1"):
        loss(torch.zeros(1, 3, 2), torch.full((1, 3, 2), 1 / 3))


@pytest.mark.parametrize(
    ("loss", "channels", "name"),
    [
        (presets.monai.focal(), 3, "target"),
        (presets.monai.focal(use_softmax=True), 3, "target"),
        (presets.monai.focal(ignore_index=255), 1, "target"),
        (presets.monai.dice_focal(sigmoid=True), 3, "target"),
        (presets.segmentation_models_pytorch.focal("binary"), 1, "y_true"),
        (presets.segmentation_models_pytorch.focal("multilabel"), 3, "y_true"),
    ],
)
def test_soft_masks_of_a_focal_loss_are_refused(loss: torch.nn.Module, channels: int, name: str) -> None:
    """The originals take them for another loss than Lossary's, and the softmax's was 0 here without a word."""
    with pytest.raises(ValueError, match=f"{name}: wanted one of 0, 1"):
        loss(torch.zeros(1, channels, 4), torch.full((1, channels, 4), 0.3))


def test_labels_without_to_onehot_y_are_refused() -> None:
    with pytest.raises(ValueError, match="target: wanted the shape of input"):
        presets.monai.dice(softmax=True)(torch.zeros(1, 3, 2), torch.ones(1, 1, 2))


@pytest.mark.parametrize(
    ("loss", "channel"),
    [
        (presets.monai.dice(softmax=True, to_onehot_y=True, ignore_index=-1), True),
        (presets.monai.focal(to_onehot_y=True, ignore_index=-1), True),
        (presets.segmentation_models_pytorch.dice("multiclass", ignore_index=-1), False),
        (presets.segmentation_models_pytorch.focal("multiclass", ignore_index=-1), False),
        (presets.segmentation_models_pytorch.lovasz("multiclass", per_image=True, ignore_index=-1), False),
        (presets.mmsegmentation.dice(ignore_index=-1), False),
        (presets.kornia.dice(ignore_index=-1), False),
    ],
    ids=lambda value: type(value).__module__.rpartition(".")[2] if isinstance(value, torch.nn.Module) else "",
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.uint32, torch.uint64])
def test_a_mask_in_an_unsigned_dtype_is_that_mask(loss: torch.nn.Module, channel: bool, dtype: torch.dtype) -> None:
    """Of uint8 a label of 255 is not the ``ignore_index`` of -1, as which it was taken."""
    scores = torch.linspace(-2, 2, 18).sin().reshape(1, 3, 6)
    for last in (2, 255):
        labels = torch.tensor([[0, 1, 2, 0, 1, last]])
        target = labels[:, None] if channel else labels
        answers = []
        for given in (target.to(dtype), target):
            try:
                answers.append(loss(scores, given).item())
            except IndexError as error:
                answers.append(str(error))
        assert answers[0] == answers[1]


@each_peer
def test_presets_can_be_pickled_and_saved(peer: str) -> None:
    first = {call.preset: call for call in CALLS[peer]}
    for call in first.values():
        loss = call.ours()
        again = pickle.loads(pickle.dumps(loss))
        again.load_state_dict(loss.state_dict())
        if "num_classes" not in call.arguments:
            values = (peers.called(made.double(), call)(*call.inputs) for made in (again, loss))
            assert torch.equal(*values), call.key


def loaded(head: Any, columns: int, path: Path) -> tuple[Tensor, Tensor]:
    """Logits of a head whose weights were loaded, and the cosines with each column of them."""
    transposed, x = torch.randn(4, columns), torch.randn(2, 4)
    torch.save({"W": transposed}, path)
    presets.pytorch_metric_learning.load_head(head, path)
    return head.get_logits(x), torch.nn.functional.cosine_similarity(x[:, None], transposed.T[None], dim=2)


def test_a_head_of_pytorch_metric_learning_is_loaded(tmp_path: Path) -> None:
    head = presets.pytorch_metric_learning.arcface(3, 4, margin=30.0)
    logits, cosines = loaded(head, 3, tmp_path / "loss.pt")
    torch.testing.assert_close(logits, cosines)
    assert head.margin == pytest.approx(math.pi / 6)


def test_a_head_of_pytorch_metric_learning_with_several_centers_is_loaded(tmp_path: Path) -> None:
    sub_center_arcface = presets.pytorch_metric_learning.sub_center_arcface
    logits, cosines = loaded(sub_center_arcface(3, 4, sub_centers=2), 6, tmp_path / "loss.pt")
    torch.testing.assert_close(logits, cosines.view(2, 3, 2).amax(2))
    with pytest.raises(ValueError, match=r"head: wanted class weights .* \(7, 2, 4\); the checkpoint has \(6, 4\)"):
        loaded(sub_center_arcface(7, 4, sub_centers=2), 6, tmp_path / "loss.pt")


def test_a_head_of_insightface_is_loaded_from_its_ranks(tmp_path: Path) -> None:
    weight = torch.randn(5, 4)
    paths = [tmp_path / f"checkpoint_gpu_{rank}.pt" for rank in (0, 1)]
    for path, part in zip(paths, weight.split([3, 2]), strict=True):
        torch.save({"epoch": 1, "state_dict_softmax_fc": {"weight": part}}, path)
    head = presets.insightface.cosface(5, 4)
    presets.insightface.load_head(head, *paths)
    assert torch.equal(head.weight, weight)
    with pytest.raises(ValueError, match=r"head: wanted class weights .* \(5, 4\); the checkpoint has \(3, 4\)"):
        presets.insightface.load_head(head, paths[0])


def test_the_gradient_of_arcface_is_finite_where_the_original_has_nan() -> None:
    head, x = presets.pytorch_metric_learning.arcface(3, 2), torch.tensor([[2.0, 0.0], [0.0, -1.0]], requires_grad=True)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    head(x, torch.tensor([0, 1])).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_triplets_of_a_miner_are_averaged_where_they_cost_something() -> None:
    """By hand: cosines of 0 and 1 alone; of three triplets the last costs nothing and is not counted."""
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 3.0], [5.0, 0.0]], requires_grad=True)
    mined = torch.tensor([0, 0, 1]), torch.tensor([1, 3, 2]), torch.tensor([3, 1, 0])
    loss = presets.pytorch_metric_learning.triplet_margin(margin=0.25, distance="cosine")
    labels = torch.tensor([0, 0, 0, 0])  # not looked at beside a miner's
    assert loss(x, labels, mined).item() == 1.25
    assert loss(x, labels, tuple(part[1:] for part in mined)).item() == 0.0
    pairs = mined[0][:1], mined[1][:1], torch.tensor([0, 2]), torch.tensor([3, 0])
    assert loss(x, labels, pairs).item() == 1.25  # the one dissimilar pair of anchor 0
    nothing = torch.zeros(0, dtype=torch.long)
    empty = loss(x, labels, (nothing, nothing, nothing))
    empty.backward()
    assert empty.item() == 0.0
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize("name", ["triplet_margin", "contrastive"])
def test_all_that_a_miner_could_find_is_no_miner(name: str) -> None:
    x, labels = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1, 2])
    similar = (labels[:, None] == labels) & ~torch.eye(6, dtype=torch.bool)
    pairs = *torch.where(similar), *torch.where(labels[:, None] != labels)
    loss = getattr(presets.pytorch_metric_learning, name)()
    torch.testing.assert_close(loss(x, labels, pairs), loss(x, labels))
    if name == "triplet_margin":
        triplets = torch.where(similar[:, :, None] & (labels[:, None] != labels)[:, None])
        torch.testing.assert_close(loss(x, labels, triplets), loss(x, labels))
    with pytest.raises(ValueError, match=r"indices_tuple: wanted a miner's 3 tensors .* or 4 .*; got 2 entries"):
        loss(x, labels, pairs[:2])


class Harmful:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return print, ("executed",)


def test_a_checkpoint_executes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"W": Harmful()}, tmp_path / "loss.pt")
    head = presets.pytorch_metric_learning.cosface(3, 4)
    with pytest.raises(pickle.UnpicklingError):
        presets.pytorch_metric_learning.load_head(head, tmp_path / "loss.pt")
    assert "executed" not in capsys.readouterr().out


def test_import_lossary_imports_no_presets() -> None:
    code = """
import sys, lossary
lossary.FocalLoss
assert "lossary.presets" not in sys.modules
assert lossary.presets.monai.dice(softmax=True)
assert not {"monai", "kornia", "transformers"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
