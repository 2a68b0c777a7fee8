"""Metrics against brute force, scikit-learn and worked examples; ties, collapse, NaN."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from lossary.lab.run.record import Record
from lossary.lab.tasks import TASKS, TaskName, measures_of
from lossary.lab.tasks.scoring import evaluate, primary, score
from lossary.lab.tasks.zero_shot import _cosines, verification
from lossary.lab.tasks.zero_shot import metrics as zero_shot
from lossary.lab.tasks.zero_shot._cosines import compare_all
from lossary.lab.tasks.zero_shot.metrics import neighbours
from lossary.lab.tasks.zero_shot.verification import Roc, roc, similarity_histogram

Array = np.ndarray[Any, Any]


def drawn(
    seed: int = 0, classes: int = 40, dimensions: int = 8, sizes: tuple[int, ...] = (2, 3, 6), spread: float = 0.5
) -> tuple[Array, Array]:
    """Noisy clusters of unequal size, in random order."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), rng.choice(sizes, classes))
    rng.shuffle(labels)
    centres = rng.normal(size=(classes, dimensions))
    return (centres[labels] + spread * rng.normal(size=(len(labels), dimensions))).astype(np.float32), labels


def cosines(embeddings: Array) -> Array:
    unit = embeddings.astype(float) / np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
    return unit @ unit.T


def pairs(embeddings: Array, labels: Array) -> tuple[Array, Array]:
    """Whether each pair's classes agree, and its cosine."""
    i, j = np.triu_indices(len(labels), 1)
    return labels[i] == labels[j], cosines(embeddings)[i, j]


def brute(embeddings: Array, labels: Array) -> Array:
    """Recall@1, Recall@5 and MAP@R item by item, by their definitions."""
    similarity, out = cosines(embeddings), []
    for i in range(len(labels)):
        ranked = [j for j in np.argsort(-similarity[i]) if j != i]
        hits = [labels[j] == labels[i] for j in ranked]
        mates = sum(hits)
        if mates:
            at_r = sum(sum(hits[: j + 1]) / (j + 1) for j in range(mates) if hits[j]) / mates
            out.append((hits[0], any(hits[:5]), at_r))
    return np.mean(out, axis=0)


@pytest.mark.parametrize("sizes", [(2, 3), (2, 3, 6)])
def test_retrieval_matches_the_definitions_item_by_item(sizes: tuple[int, ...]) -> None:
    embeddings, labels = drawn(sizes=sizes)
    metrics, _, _ = evaluate("zero-shot", embeddings=embeddings, labels=labels)
    got = [metrics[m] for m in ("recall@1", "recall@5", "map@r")]
    np.testing.assert_allclose(got, brute(embeddings, labels))
    assert 0.1 < metrics["map@r"] < metrics["recall@1"] < metrics["recall@5"] < 1  # room on both sides


@pytest.mark.parametrize(
    ("hits", "score"),
    [
        ([1] + [0] * 9, 0.1),
        ([1, 1] + [0] * 8, 0.2),
        ([1] * 10, 1),
        ([0] * 9 + [1], 0.01),
        ([0, 1, 1] + [0] * 7, 7 / 60),
    ],
)
def test_map_at_r_by_hand(hits: list[int], score: float) -> None:
    assert zero_shot._map_at_r(np.array([hits], bool), np.array([10])) == pytest.approx([score])


def test_items_without_a_mate_are_distractors_only() -> None:
    embeddings, labels = drawn(sizes=(1, 2, 5))
    metrics, units, independent = evaluate("zero-shot", embeddings=embeddings, labels=labels)
    assert metrics["map@r"] == pytest.approx(brute(embeddings, labels)[2])
    assert (len(units), independent) == (40, sum(np.bincount(labels) > 1))
    assert score("zero-shot", embeddings=embeddings, labels=labels) == metrics["recall@1"]


def test_units_average_to_the_primary_metric() -> None:
    embeddings, labels = drawn()
    metrics, units, _ = evaluate("zero-shot", embeddings=embeddings, labels=labels)
    assert len(units) == 40
    assert np.mean(units) == pytest.approx(metrics["recall@1"])
    names = np.array([f"class {c:03}" for c in labels])
    turned = evaluate("zero-shot", embeddings=embeddings[::-1], labels=names[::-1])[1]
    assert units == turned  # in the order of the classes, whatever the order of the items


@pytest.mark.parametrize("spread", [0.2, 0.5, 2.0])
def test_verification_matches_scikit_learns_roc(spread: float) -> None:
    embeddings, labels = drawn(spread=spread)
    metrics, _, _ = evaluate("zero-shot", embeddings=embeddings, labels=labels)
    far, tar, _ = sk.roc_curve(*pairs(embeddings, labels), drop_intermediate=False)
    along = np.linspace(0, len(far) - 1, 2_000_000)
    gap = abs(1 - np.interp(along, np.arange(len(far)), far) - np.interp(along, np.arange(len(far)), tar))
    assert metrics["eer"] == pytest.approx(np.interp(along[gap.argmin()], np.arange(len(far)), far), abs=1e-5)
    assert metrics["tar@far=1%"] == pytest.approx(tar[far <= 0.01].max(), abs=1e-3)
    assert metrics["tar@far=0.1%"] == pytest.approx(tar[far <= 0.001].max(), abs=1e-3)
    assert metrics["min_dcf"] == pytest.approx(min(0.01 * (1 - tar) + 0.99 * far) / 0.01, abs=1e-3)


@pytest.mark.parametrize(
    ("far", "tar", "eer"),
    [
        ([0, 0, 0.5, 0.5, 1], [0, 0.5, 0.5, 1, 1], 0.5),
        ([0, 0, 0.4, 1], [0, 0.7, 0.8, 1], 0.24),  # at s of the middle piece: 0.4 s = 0.3 - 0.1 s, s = 0.6
        ([0, 0, 1], [0, 1, 1], 0.0),
        ([0, 1], [0, 1], 0.5),
    ],
)
def test_eer_by_hand(far: list[float], tar: list[float], eer: float) -> None:
    assert verification.equal_error_rate(
        Roc(np.arange(len(far), 0, -1.0), np.array(far), np.array(tar))
    ) == pytest.approx(eer)


def test_tar_counts_a_threshold_that_meets_the_far_exactly() -> None:
    curve = Roc(np.array([np.inf, 3, 2, 1]), np.array([0, 0.01, 0.02, 1]), np.array([0, 0.4, 0.7, 1]))
    assert verification.tar_at_far(curve, 0.01) == 0.4
    assert verification.tar_at_far(curve, 0.0199) == 0.4
    assert verification.tar_at_far(curve, 0.001) == 0


@pytest.mark.parametrize("value", [1.0, 0.1, 0.0, -3e-30, 1e300])
def test_a_collapsed_embedding_does_not_look_perfect(value: float) -> None:
    labels = np.repeat(np.arange(30), 4)
    metrics, units, _ = evaluate("zero-shot", embeddings=np.full((120, 7), value), labels=labels)
    assert metrics["recall@1"] == metrics["recall@5"] == metrics["map@r"] == 0
    assert set(units) == {0.0}
    assert (metrics["eer"], metrics["tar@far=1%"], metrics["min_dcf"]) == (0.5, 0, 1)


def test_tied_neighbours_count_against_the_loss() -> None:
    # items 0 and 1 share their place with item 2 of another class
    embeddings, labels = [[1, 0], [1, 0], [1, 0], [-1, 0.1]], [0, 0, 1, 1]
    metrics, units, _ = evaluate("zero-shot", embeddings=embeddings, labels=labels)
    assert units == [0, 0]
    assert metrics["map@r"] == 0
    assert not any(n.right for n in neighbours(embeddings, labels))


def test_perfect_embeddings_score_perfectly() -> None:
    labels = np.repeat(np.arange(6), 5)
    metrics, _, _ = evaluate("zero-shot", embeddings=np.eye(6)[labels], labels=labels)
    wrong_is_zero = {"eer": 0, "min_dcf": 0}
    assert metrics == {m.name: wrong_is_zero.get(m.name, 1) for m in measures_of("zero-shot").metrics}


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, labels = drawn()
    whole = evaluate("zero-shot", embeddings=embeddings, labels=labels)
    monkeypatch.setattr(_cosines, "CACHED_COSINES", 7 * len(labels))
    assert evaluate("zero-shot", embeddings=embeddings, labels=labels) == whole


def test_embeddings_in_a_narrow_cone_are_still_told_apart() -> None:
    embeddings, labels = drawn()
    narrow = embeddings.astype(float) * 1e-3 + 1  # as of an untrained network
    agree, cosine = pairs(narrow, labels)
    assert cosine.min() > 0.9999
    metrics, _, _ = evaluate("zero-shot", embeddings=narrow, labels=labels)
    far, tar, _ = sk.roc_curve(agree, cosine)
    assert metrics["eer"] == pytest.approx(far[np.argmin(abs(1 - tar - far))], abs=5e-3)
    np.testing.assert_allclose(metrics["map@r"], brute(narrow, labels)[2], atol=5e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("call", [lambda e, t: evaluate("zero-shot", embeddings=e, labels=t), roc, neighbours])
def test_embeddings_that_are_not_finite_are_an_error(bad: float, call: Callable[[Array, Array], object]) -> None:
    embeddings, labels = drawn()
    embeddings[3, 2] = bad
    with pytest.raises(ValueError, match=r"embeddings: .* NaN or infinity in 1 of"):
        call(embeddings, labels)


def test_the_thinned_roc_keeps_its_shape() -> None:
    embeddings, labels = drawn(classes=200, spread=1.5)
    curve = roc(embeddings, labels)
    assert len(curve.far) <= 200
    assert (curve.far[0], curve.tar[0], curve.far[-1], curve.tar[-1]) == (0, 0, 1, 1)
    full = verification.full_roc(compare_all(embeddings, labels))
    for at in (np.geomspace(1e-3, 1, 50), np.linspace(0, 1, 50)):  # drawn in log FAR and evenly
        thinned, whole = np.interp(at, curve.far, curve.tar), np.interp(at, full.far, full.tar)
        np.testing.assert_allclose(thinned, whole, rtol=0.1, atol=1e-3)


def test_similarity_histogram_counts_each_pair() -> None:
    embeddings, labels = drawn()
    histogram = similarity_histogram(embeddings, labels, bins=20)
    agree, cosine = pairs(embeddings, labels)
    for shares, chosen in ((histogram.same, agree), (histogram.different, ~agree)):
        np.testing.assert_allclose(shares, np.histogram(cosine[chosen], histogram.edges)[0] / chosen.sum())


def test_neighbours_are_the_nearest() -> None:
    embeddings, labels = drawn()
    similarity = cosines(embeddings) - 3 * np.eye(len(labels))
    shown = neighbours(embeddings, labels, right=5, wrong=4)
    assert [n.right for n in shown] == [True] * 5 + [False] * 4
    for n in shown:
        assert n.found == similarity[n.query].argmax()
        assert n.similarity == pytest.approx(similarity[n.query, n.found])
        own = np.where(labels == labels[n.query], similarity[n.query], -np.inf)
        assert n.wanted == own.argmax()
        assert (n.found == n.wanted) == n.right
    assert shown == neighbours(embeddings, labels, right=5, wrong=4)


def test_classification_matches_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 4)) * 2
    probabilities = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float16)
    labels = np.where(rng.random(300) < 0.6, logits.argmax(1), rng.integers(0, 4, 300))
    metrics, units, _ = evaluate("classification", probabilities=probabilities, labels=labels)
    said = probabilities.argmax(1)
    assert metrics["accuracy"] == sk.accuracy_score(labels, said) == np.mean(units)
    assert metrics["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, said))
    assert metrics["macro_f1"] == pytest.approx(sk.f1_score(labels, said, average="macro"))
    p = probabilities / probabilities.sum(1, keepdims=True, dtype=float)
    assert metrics["log_loss"] == pytest.approx(-np.log(p[np.arange(300), labels]).mean())


def test_ece_by_hand() -> None:
    # four samples in the bin (14/15, 1], one of them wrong; below it one wrong, and one right, a bin each
    confidence = np.array([0.95, 0.95, 0.97, 1.0, 0.81, 0.9])
    probabilities = np.stack([confidence, 1 - confidence], 1)
    metrics, _, _ = evaluate("classification", probabilities=probabilities, labels=[0, 0, 1, 0, 1, 0])
    assert metrics["ece"] == pytest.approx((abs(0.95 + 0.95 + 0.97 + 1 - 3) + 0.81 + 0.1) / 6)


def test_a_class_absent_from_the_labels_is_no_error() -> None:
    metrics, _, _ = evaluate("classification", probabilities=[[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]], labels=[0, 0])
    assert metrics["accuracy"] == 0.5
    assert metrics["log_loss"] == pytest.approx(-np.log([0.6, 0.2]).mean())


@pytest.mark.parametrize("digits", [1, 9])  # with ties and without
def test_binary_matches_scikit_learn_and_its_units_average_to_the_average_precision(digits: int) -> None:
    rng = np.random.default_rng(0)
    p = np.round(rng.random(300), digits)
    labels = (rng.random(300) < 0.3 * p).astype(int)
    found, units, independent = evaluate("binary", probabilities=p, labels=labels)
    assert found == pytest.approx(
        {
            "average_precision": sk.average_precision_score(labels, p),
            "roc_auc": sk.roc_auc_score(labels, p),
            "f1": sk.f1_score(labels, p > 0.5),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, p > 0.5),
            "brier": sk.brier_score_loss(labels, p),
            "log_loss": sk.log_loss(labels, p),
        }
    )
    assert (len(units), independent) == (300, labels.sum())
    assert np.mean(units) == pytest.approx(found["average_precision"])


def test_regression_by_hand() -> None:
    metrics, units, _ = evaluate("regression", predictions=[1.0, 2, 3, 4], targets=[1.0, 1, 5, 10])
    assert metrics == pytest.approx({"mae": 9 / 4, "rmse": np.sqrt(41 / 4), "median_ae": 1.5, "r2": 1 - 41 / 54.75})
    assert units == [0, 1, 2, 6]
    assert score("regression", predictions=[1.0], targets=[3.0]) == 2


@pytest.mark.parametrize(
    ("task", "arrays", "message"),
    [
        ("sorting", {}, "task: wanted one of 'zero-shot'"),
        ("ranking", {"scores": [1.0, 2.0], "targets": [1.0, 0.0]}, r"scores: wanted shape \(lists, candidates\)"),
        ("ranking", {"scores": [[1.0, 2.0]], "targets": [[1.0]]}, r"targets: wanted shape \(1, 2\)"),
        ("ranking", {"scores": [[np.nan, 2.0]], "targets": [[1.0, 0.0]]}, "scores: wanted finite"),
        ("ranking", {"scores": [[1.0, 2.0]], "targets": [[0.0, 0.0]]}, "targets: wanted relevance"),
        ("ranking", {"scores": [[1.0, 2.0]], "targets": [[-1.0, 1.0]]}, "targets: wanted relevance"),
        ("zero-shot", {"embeddings": [1.0, 2.0], "labels": [0, 0]}, "embeddings: wanted shape"),
        ("zero-shot", {"embeddings": [[1.0], [2.0]], "labels": [0, 1]}, "labels: wanted at least 2 classes"),
        ("zero-shot", {"embeddings": [[1.0], [2.0]], "labels": [0, 0]}, "labels: wanted at least 2 classes"),
        ("zero-shot", {"embeddings": [[1.0], [2.0]], "labels": [0]}, r"labels: wanted .* shape \(2,\)"),
        ("classification", {"probabilities": [[2.0, -1.0]], "labels": [0]}, "probabilities: wanted rows"),
        ("classification", {"probabilities": [[np.nan, 1.0]], "labels": [0]}, "probabilities: wanted finite"),
        ("binary", {"probabilities": [[0.5, 0.5]], "labels": [0]}, "probabilities: wanted shape"),
        ("binary", {"probabilities": [0.5, 1.5], "labels": [0, 1]}, "probabilities: wanted numbers in"),
        ("binary", {"probabilities": [0.5, 0.5], "labels": [0, 0]}, "labels: wanted both 0 and 1"),
        ("multi-label", {"probabilities": [0.5], "labels": [1]}, "probabilities: wanted shape"),
        ("multi-label", {"probabilities": [[0.5, 0.5]], "labels": [1]}, "labels: wanted one a probability"),
        ("multi-label", {"probabilities": [[0.5, 1.5]], "labels": [[0, 1]]}, "probabilities: wanted numbers in"),
        ("multi-label", {"probabilities": [[0.5, 0.5]], "labels": [[0, 2]]}, "labels: wanted 0 and 1"),
        ("multi-label", {"probabilities": [[0.5, 0.5]], "labels": [[0, 0]]}, "labels: wanted 0 and 1"),
        ("regression", {"predictions": [np.inf], "targets": [0.0]}, "predictions: wanted finite"),
        ("regression", {"predictions": [], "targets": []}, "targets: wanted one a sample"),
        ("regression", {"predictions": [1.0], "targets": [[0.0]]}, "targets: wanted one a sample"),
    ],
)
def test_bad_arrays_name_the_argument(task: TaskName, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(task, **arrays)


def test_a_label_out_of_range_is_an_index_error() -> None:
    with pytest.raises(IndexError, match=r"labels: wanted class indices in \[0, 2\)"):
        evaluate("classification", probabilities=[[0.5, 0.5]], labels=[2])


def test_every_metric_that_is_described_is_measured() -> None:
    embeddings, labels = drawn()
    arrays = {
        "zero-shot": {"embeddings": embeddings, "labels": labels},
        "classification": {"probabilities": [[0.5, 0.5]], "labels": [1]},
        "binary": {"probabilities": [0.5, 0.4], "labels": [1, 0]},
        "multi-label": {"probabilities": [[0.5, 0.4]], "labels": [[1, 0]]},
        "regression": {"predictions": [0.5], "targets": [1]},
        "ranking": {"scores": [[0.5, 0.1]], "targets": [[1, 0]]},
        "segmentation": {"predictions": [[[0, 1]]], "labels": [[[0, 0]]]},
        "retrieval": {"embeddings": np.ones((2, 2, 3)), "targets": [[0, 1], [2, 3]]},
    }
    for task in TASKS:
        described = measures_of(task).metrics
        metrics, units, _ = evaluate(task, **arrays[task])
        assert list(metrics) == [m.name for m in described]
        assert primary(task) is described[0]
        assert all(type(v) is float for v in [*metrics.values(), *units])  # what JSON can hold


def test_a_record_says_how_many_draws_stand_behind_its_units(tmp_path: Path) -> None:
    record = Record("focal_loss", "focal_loss", "tuned", 1, {}, {"average_precision": 0.5}, [0.2, 0.8], independent=1)
    record.save(tmp_path)
    assert Record.load(record.path(tmp_path)) == record
    stored = json.loads(record.path(tmp_path).read_text())
    del stored["independent"]  # as earlier versions wrote it
    record.path(tmp_path).write_text(json.dumps(stored))
    assert Record.load(record.path(tmp_path)).independent == 0
