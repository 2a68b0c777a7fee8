"""`lossary learn`: right answers pass, and each wrong one gets a counterexample that can be read."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.cli import main
from lossary.gallery.learn.exercises import EXERCISES, find
from lossary.gallery.learn.grader import MOST, batches, grade


def _own(cosines: Tensor, y: Tensor) -> Tensor:
    return cosines.gather(1, y[:, None])[:, 0]


def _with_own(cosines: Tensor, y: Tensor, own: Tensor, scale: float) -> Tensor:
    return F.cross_entropy(scale * cosines.scatter(1, y[:, None], own[:, None]), y)


def _focal(z: Tensor, y: Tensor) -> Tensor:
    log_p = z.log_softmax(1).gather(1, y[:, None])[:, 0]
    return (-((1 - log_p.exp()) ** 2) * log_p).mean()


def _arcface(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
    cosines = F.normalize(x) @ F.normalize(w).T
    theta = _own(cosines, y).clamp(-1 + 1e-12, 1 - 1e-12).acos()
    beyond = theta.cos() - 0.5 * math.sin(0.5)
    return _with_own(cosines, y, torch.where(theta + 0.5 > math.pi, beyond, (theta + 0.5).cos()), 8.0)


def _ge2e(e: Tensor) -> Tensor:
    e = F.normalize(e, dim=-1)
    speakers, utterances, _ = e.shape
    total = torch.zeros(())
    for s in range(speakers):
        for u in range(utterances):
            centers = [e[k].mean(0) if k != s else (e[s].sum(0) - e[s, u]) / (utterances - 1) for k in range(speakers)]
            scored = torch.stack([10 * F.cosine_similarity(e[s, u], c, dim=0) - 5 for c in centers])
            total = total + F.cross_entropy(scored[None], torch.tensor([s]))
    return total / (speakers * utterances)


def _dice(z: Tensor, y: Tensor) -> Tensor:
    p = z.sigmoid()
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def _angular(cosines: Tensor, y: Tensor) -> Tensor:
    c = _own(cosines, y)
    double = 2 * c**2 - 1
    return _with_own(cosines, y, torch.where(c >= 0, double, -double - 2), 4.0)


def _contrastive(a: Tensor, b: Tensor, y: Tensor) -> Tensor:
    d = (a - b).norm(dim=1)
    return ((y * d**2 + (1 - y) * (1 - d).clamp(min=0) ** 2) / 2).mean()


RIGHT: dict[str, Callable[..., Tensor]] = {
    "focal": _focal,
    "arcface": _arcface,
    "ge2e": _ge2e,
    "dice": _dice,
    "softmax-shift": lambda z: (z - z.max()).exp() / (z - z.max()).exp().sum(),
    "softmax": lambda z: torch.softmax(z, 0),
    "mae": lambda x, y: (x - y).abs().mean(),
    "huber": lambda x, y: F.huber_loss(x, y, delta=0.5),
    "bce": lambda p, y: -(y * p.log() + (1 - y) * (1 - p).log()).mean(),
    "balanced-bce": lambda p, y: -(3 * y * p.log() + (1 - y) * (1 - p).log()).mean(),
    "cross-entropy": F.cross_entropy,
    "contrastive": _contrastive,
    "am-softmax": lambda cosines, y: _with_own(cosines, y, _own(cosines, y) - 0.35, 4.0),
    "angular-softmax": _angular,
    "kl": lambda z, p: (p * (p.log() - z.log_softmax(1))).sum(1).mean(),
    "svm": lambda z, y: (z - z.gather(1, y[:, None]) + 1).clamp(min=0).scatter(1, y[:, None], 0.0).sum(1).mean(),
}


def _stub(name: str) -> Any:
    names: dict[str, Any] = {}
    exec(find(name).stub, names)
    return names["loss"]


def _arcface_softened(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
    cosines = F.normalize(x) @ F.normalize(w).T
    return _with_own(cosines, y, (_own(cosines, y).acos() - 0.5).cos(), 8.0)


def _focal_of_probabilities(z: Tensor, y: Tensor) -> Tensor:
    p = z.softmax(1).gather(1, y[:, None])[:, 0]
    return (-((1 - p) ** 2) * p.log()).mean()


def _ge2e_with_itself(e: Tensor) -> Tensor:
    e = F.normalize(e, dim=-1)
    scored = 10 * F.cosine_similarity(e[:, :, None], e.mean(1), dim=-1) - 5
    return F.cross_entropy(scored.flatten(0, 1), torch.arange(len(e)).repeat_interleave(e.shape[1]))


WRONG: dict[str, tuple[str, Callable[..., Tensor]]] = {
    **{f"{one.name} as handed out": (one.name, _stub(one.name)) for one in EXERCISES},
    "focal of p, not 1 - p": ("focal", lambda z, y: -((z.softmax(1).gather(1, y[:, None]) ** 2).mean()) * 0),
    "focal by softmax, then log": ("focal", _focal_of_probabilities),
    "focal summed": ("focal", lambda z, y: _focal(z, y) * len(y)),
    "focal without a gradient through the factor": (
        "focal",
        lambda z, y: (((1 - _own(z.softmax(1), y)) ** 2).detach() * F.cross_entropy(z, y, reduction="none")).mean(),
    ),
    "ArcFace with the margin the other way": ("arcface", _arcface_softened),
    "ArcFace without normalised features": (
        "arcface",
        lambda x, w, y: F.cross_entropy(8 * x @ F.normalize(w).T, y),
    ),
    "GE2E with the utterance in its own center": ("ge2e", _ge2e_with_itself),
    "Dice of the scores": ("dice", lambda z, y: 1 - (2 * (z * y).sum() + 1) / (z.sum() + y.sum() + 1)),
    "Dice without smoothing": ("dice", lambda z, y: 1 - 2 * (z.sigmoid() * y).sum() / (z.sigmoid().sum() + y.sum())),
    "MAE of a float": ("mae", lambda x, y: float((x - y).abs().mean())),  # type: ignore[dict-item]
    "MAE as MSE": ("mae", F.mse_loss),
    "BCE summed": ("bce", lambda p, y: F.binary_cross_entropy(p, y, reduction="sum")),
    "CE of sigmoids": ("cross-entropy", lambda z, y: F.binary_cross_entropy_with_logits(z, F.one_hot(y, 2).double())),
}


def test_there_is_an_answer_to_each() -> None:
    assert list(RIGHT) == [one.name for one in EXERCISES]


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes(name: str) -> None:
    assert grade(find(name), RIGHT[name]) is None


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_answer_gets_a_counterexample_of_ten_numbers(wrong: str) -> None:
    name, answer = WRONG[wrong]
    found = grade(find(name), answer)
    assert found is not None
    assert sum(value.numel() for value in found.batch.values()) <= MOST == 10
    assert found.wanted != found.got


def test_each_exercise_has_batches_enough() -> None:
    for one in EXERCISES:
        assert len(list(batches(one))) >= 50, one.name


def test_an_exercise_is_handed_out_graded_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def learn() -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["learn", "mae", "--out", str(tmp_path)])
        return int(ended.value.code or 0), capsys.readouterr().out

    path = tmp_path / "mae.py"
    assert learn() == (
        0,
        f"{path}: The mean absolute error. It is wrong; fix it, then run `lossary learn mae` again.\n",
    )
    code, told = learn()
    assert code == 1
    assert told.startswith(f"{path}: not yet\ngiven\n  x = [")
    assert "wanted a loss of" in told
    path.write_text(path.read_text().replace("(x - y).mean().abs()", "(x - y).abs().mean()"))
    assert learn() == (0, f"{path}: right. Value and gradient match the library's on every batch.\n")
    path.write_text("def loss(x, y:\n")
    code, told = learn()
    assert code == 1
    assert "SyntaxError" in told
    path.write_text("lost = 1\n")
    assert learn() == (1, f"{path}: wanted a function called loss\n")


def test_exercises_are_listed_and_others_refused(capsys: pytest.CaptureFixture[str]) -> None:
    main(["learn"])
    told = capsys.readouterr().out
    assert all(one.name in told for one in EXERCISES)
    with pytest.raises(SystemExit):
        main(["learn", "nonsense"])
    assert "no exercise nonsense; there are focal" in capsys.readouterr().err
