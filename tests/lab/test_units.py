"""Test units: their mean is the metric, and they are what weights that are moved, or units left out, do to it."""

from collections.abc import Callable
from typing import Any

import calibration_worlds as worlds
import numpy as np
import pytest
from sklearn import metrics as sk

from lossary.lab.tasks import TASKS, TaskName, _galleries, measures_of
from lossary.lab.tasks.measures import Units, units_by
from lossary.lab.tasks.retrieval.metrics import grouped
from lossary.lab.tasks.scoring import evaluate

Array = np.ndarray[Any, Any]
EVERY = [(task, metric.name) for task in TASKS for metric in measures_of(task).metrics]


def rare(size: int = 300, digits: int = 2, seed: int = 0) -> dict[str, Array]:
    """Probabilities with ties, and labels of which few are yes."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(size) < 0.15).astype(int)
    return {
        "probabilities": np.round(1 / (1 + np.exp(1 - 1.5 * labels - rng.normal(size=size))), digits),
        "labels": labels,
    }


def clustered(seed: int = 0, sizes: tuple[int, ...] = (1, 2, 3, 6)) -> dict[str, Array]:
    """Noisy clusters of unequal size, in random order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(30), rng.choice(sizes, 30)))
    return {"embeddings": rng.normal(size=(30, 6))[labels] + 0.6 * rng.normal(size=(len(labels), 6)), "labels": labels}


def pairs(seed: int = 0) -> dict[str, Array]:
    """Queries and documents of which some share texts, in 25 groups or so; some documents are queries elsewhere."""
    rng = np.random.default_rng(seed)
    texts = np.array([(g * 10 + rng.integers(3), g * 10 + rng.integers(2, 6)) for g in range(25) for _ in range(2)])
    texts = np.unique(texts[texts[:, 0] != texts[:, 1]], axis=0)
    of_text = rng.normal(size=(25, 5))[np.arange(250) // 10] + 0.8 * rng.normal(size=(250, 5))
    return {"embeddings": of_text[texts], "targets": texts}


def outputs(task: TaskName) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    match task:
        case "zero-shot":
            return clustered()
        case "binary":
            return rare()
        case "classification":
            return {
                "probabilities": rng.dirichlet([1.0] * 5, 200),
                "labels": rng.choice(4, 200, p=[0.6, 0.3, 0.08, 0.02]),
            }
        case "multi-label":
            labels = rng.random((150, 4)) < [0.5, 0.3, 0.1, 0.05]
            p = 1 / (1 + np.exp(1 - 1.5 * labels - rng.normal(size=labels.shape)))
            return {"probabilities": np.round(p, 2), "labels": labels}
        case "regression":
            return {"predictions": (x := rng.normal(size=200)), "targets": x + rng.standard_t(3, 200)}
        case "ranking":
            return {
                "scores": rng.normal(size=(40, 8)),
                "targets": rng.integers(0, 3, (40, 8)) + np.eye(40, 8, -3) + 1.0,
            }
        case "segmentation":
            labels = rng.choice(4, (30, 6, 6), p=[0.6, 0.3, 0.08, 0.02])
            return {
                "predictions": np.where(rng.random(labels.shape) < 0.6, labels, rng.integers(0, 4, labels.shape)),
                "labels": labels,
            }
        case "retrieval":
            return pairs()


def pseudo_values(task: TaskName, metric: str, **arrays: Array) -> Units:
    return measures_of(task).pseudo_values[metric](measures_of(task).read(**arrays))


@pytest.mark.parametrize(("task", "metric"), EVERY)
def test_any_metric_of_a_task_can_be_judged_and_its_units_average_to_it(task: TaskName, metric: str) -> None:
    scores = evaluate(task, metric, **outputs(task))
    assert list(scores.metrics) == [m.name for m in measures_of(task).metrics]
    assert np.mean(scores.units) == pytest.approx(scores.metrics[metric], rel=1e-12)
    assert np.std(scores.units) > 0
    assert 1 < scores.independent <= len(scores.units)


@pytest.mark.parametrize(("task", "metric"), [each for each in EVERY if each[0] not in ("retrieval", "zero-shot")])
def test_many_runs_at_once_are_scored_as_each_alone(task: TaskName, metric: str) -> None:
    (given, run), (truth, true) = outputs(task).items()
    rng = np.random.default_rng(1)
    runs = np.array([[rng.permutation(run) for _ in range(3)] for _ in range(2)])
    (together, draws), (alone, same_draws) = (
        worlds.World(task, lambda *_: (given, runs, truth, true), apart=apart).units(rng, worlds.Study(), metric)[
            metric
        ]
        for apart in (False, True)
    )
    assert np.ptp(alone.mean(axis=-1)) > 0
    np.testing.assert_allclose(together, alone, rtol=1e-11, atol=1e-13)
    assert draws == same_draws


# --- by influence ---


def f1_of_classes(labels: Array, said: Array, weights: Array) -> float:
    return float(sk.f1_score(labels, said, sample_weight=weights, average="macro", labels=np.unique(labels)))


#: Metrics as scikit-learn weighs samples in them: of what is true, what was given, and the weights.
WEIGHTED: dict[tuple[TaskName, str], Callable[[Array, Array, Array], float]] = {
    ("binary", "average_precision"): lambda y, p, w: sk.average_precision_score(y, p, sample_weight=w),
    ("binary", "roc_auc"): lambda y, p, w: sk.roc_auc_score(y, p, sample_weight=w),
    ("binary", "f1"): lambda y, p, w: sk.f1_score(y, p > 0.5, sample_weight=w),
    ("binary", "balanced_accuracy"): lambda y, p, w: sk.balanced_accuracy_score(y, p > 0.5, sample_weight=w),
    ("binary", "brier"): lambda y, p, w: sk.brier_score_loss(y, p, sample_weight=w),
    ("binary", "log_loss"): lambda y, p, w: sk.log_loss(y, p, sample_weight=w),
    ("classification", "accuracy"): lambda y, p, w: sk.accuracy_score(y, p.argmax(1), sample_weight=w),
    ("classification", "balanced_accuracy"): lambda y, p, w: sk.recall_score(
        y, p.argmax(1), sample_weight=w, average="macro", labels=np.unique(y)
    ),
    ("classification", "macro_f1"): lambda y, p, w: f1_of_classes(y, p.argmax(1), w),
    ("classification", "log_loss"): lambda y, p, w: sk.log_loss(y, p, sample_weight=w, labels=np.arange(p.shape[1])),
    ("multi-label", "mean_ap"): lambda y, p, w: sk.average_precision_score(y, p, sample_weight=w, average="macro"),
    ("multi-label", "micro_f1"): lambda y, p, w: sk.f1_score(y, p > 0.5, sample_weight=w, average="micro"),
    ("multi-label", "macro_f1"): lambda y, p, w: sk.f1_score(y, p > 0.5, sample_weight=w, average="macro"),
    ("multi-label", "hamming"): lambda y, p, w: sk.hamming_loss(y, p > 0.5, sample_weight=w),
    ("regression", "mae"): lambda y, p, w: sk.mean_absolute_error(y, p, sample_weight=w),
    ("regression", "rmse"): lambda y, p, w: sk.root_mean_squared_error(y, p, sample_weight=w),
    ("regression", "r2"): lambda y, p, w: sk.r2_score(y, p, sample_weight=w),
}


@pytest.mark.parametrize(("task", "metric"), WEIGHTED)
def test_a_sample_adds_what_its_weight_does(task: TaskName, metric: str) -> None:
    arrays, step = outputs(task), 1e-4
    given, truth = arrays.values()
    weighted = WEIGHTED[task, metric]
    units = pseudo_values(task, metric, **arrays).values
    assert weighted(truth, given, np.ones(len(truth))) == pytest.approx(units.mean(), rel=1e-9)
    slope = [
        (weighted(truth, given, 1 + step * at) - weighted(truth, given, 1 - step * at)) / (2 * step)
        for at in np.eye(len(truth))
    ]
    np.testing.assert_allclose(units, units.mean() + len(truth) * np.array(slope), atol=1e-5 * np.abs(units).max())


@pytest.mark.parametrize("metric", ["mean_iou", "rarest_iou", "dice", "pixel_accuracy"])
def test_an_image_adds_what_one_more_of_it_among_very_many_does(metric: str) -> None:
    arrays, times = outputs("segmentation"), 200
    units = np.array(evaluate("segmentation", metric, **arrays).units)
    many = {name: np.concatenate([values] * times) for name, values in arrays.items()}
    for image in range(0, 30, 7):
        more = {name: np.concatenate([many[name], values[image : image + 1]]) for name, values in arrays.items()}
        raised = evaluate("segmentation", metric, **more).metrics[metric]
        assert (raised - units.mean()) * (30 * times + 1) == pytest.approx(units[image] - units.mean(), abs=0.01)


def test_the_median_moves_as_far_as_a_bootstrap_moves_it() -> None:
    rng = np.random.default_rng(0)
    arrays = {"predictions": np.zeros(500), "targets": rng.exponential(size=500)}
    units = pseudo_values("regression", "median_ae", **arrays).values
    again = [np.median(rng.choice(arrays["targets"], 500)) for _ in range(2000)]
    assert np.std(units) / np.sqrt(500) == pytest.approx(np.std(again), rel=0.15)


def test_the_average_precision_rests_on_its_positives_and_the_area_on_the_rarer_label() -> None:
    arrays = rare()
    assert evaluate("binary", **arrays).independent == arrays["labels"].sum()
    flipped = {"probabilities": 1 - arrays["probabilities"], "labels": 1 - arrays["labels"]}
    assert evaluate("binary", "roc_auc", **flipped).independent == arrays["labels"].sum()
    np.testing.assert_allclose(
        evaluate("binary", "roc_auc", **flipped).units, evaluate("binary", "roc_auc", **arrays).units
    )


# --- by leaving out ---


def without(task: TaskName, arrays: dict[str, Array], unit: Array, gone: int) -> dict[str, float]:
    return evaluate(task, **{name: values[unit != gone] for name, values in arrays.items()}).metrics


@pytest.fixture
def _chance_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is gained without a group, as it is."""
    monkeypatch.setattr(_galleries, "beyond_chance", lambda total, _: total)


@pytest.mark.usefixtures("_chance_counted")
@pytest.mark.parametrize("metric", ["recall@1", "recall@5", "map@r"])
@pytest.mark.parametrize("sizes", [(1, 2, 3, 6), (2,), (9, 10)])
def test_a_class_adds_what_is_lost_without_it(metric: str, sizes: tuple[int, ...]) -> None:
    arrays = clustered(sizes=sizes)
    score, units, independent = evaluate("zero-shot", metric, **arrays)
    left = np.array([without("zero-shot", arrays, arrays["labels"], c)[metric] for c in range(30)])
    np.testing.assert_allclose(units, score[metric] + 29 * (left.mean() - left), atol=1e-12)
    assert independent == (np.bincount(arrays["labels"]) > 1).sum()


@pytest.mark.parametrize("metric", ["eer", "tar@far=1%", "tar@far=0.1%", "min_dcf"])
def test_a_class_adds_to_what_is_read_off_the_curve_about_what_is_lost_without_it(metric: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(60), 8)
    arrays = {"embeddings": rng.normal(size=(60, 6))[labels] + 0.6 * rng.normal(size=(480, 6)), "labels": labels}
    score, units, _ = evaluate("zero-shot", metric, **arrays)
    left = np.array([without("zero-shot", arrays, labels, c)[metric] for c in range(60)])
    exact = score[metric] + 59 * (left.mean() - left)
    # A TAR has the steps of the curve, which make the exact values rough.
    alike, as_wide = (0.98, 0.1) if metric in ("eer", "min_dcf") else (0.94, 0.2)
    assert np.corrcoef(units, exact)[0, 1] > alike
    assert np.std(units) == pytest.approx(np.std(exact), rel=as_wide)


@pytest.mark.usefixtures("_chance_counted")
@pytest.mark.parametrize("metric", [m.name for m in measures_of("retrieval").metrics])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_group_of_texts_adds_what_is_lost_without_it(metric: str, seed: int) -> None:
    arrays = pairs(seed)
    group = grouped(arrays["targets"])
    score, units, _ = evaluate("retrieval", metric, **arrays)
    assert len(np.unique(arrays["targets"][:, 0])) > len(units) > 25  # some queries share a document, some do not
    left = np.array([without("retrieval", arrays, group, g)[metric] for g in range(len(units))])
    np.testing.assert_allclose(units, score[metric] + (len(left) - 1) * (left.mean() - left), atol=1e-12)


@pytest.mark.parametrize("task", ["zero-shot", "retrieval"])
def test_the_units_of_a_gallery_tell_how_far_other_groups_would_move_it(task: TaskName) -> None:
    world = {"zero-shot": worlds.identities(40, (2, 4)), "retrieval": worlds.texts(60)}[task]
    told = worlds.widths(world, 150, asked=("recall@1",))["recall@1"]
    assert 0.85 < told < 1.15  # 1.4 where chance counts twice


def test_what_stands_before_all_alike_counts_whole_and_what_is_chance_not_at_all() -> None:
    rng = np.random.default_rng(0)
    in_the_way = np.outer(np.ones(50), np.arange(50) == 7) * 1.0
    np.testing.assert_allclose(_drawn(in_the_way), 50.0 * (np.arange(50) == 7), atol=0.1)
    by_chance = rng.permuted(np.eye(400), axis=0)
    assert _drawn(by_chance).std() < 0.3  # 1 as counted


def _drawn(gained: Array) -> Array:
    """Of (groups of the queries, groups left out)."""
    return _galleries.beyond_chance(gained.sum(axis=0), (gained**2).sum(axis=0))


# --- units that are drawn together ---


def test_groups_average_to_the_metric_and_are_the_clusters_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    groups = np.array([f"patient {n}" for n in rng.integers(0, 12, 300)])
    units = pseudo_values("binary", "average_precision", **rare())
    by = units_by(units, groups)
    assert by.values.mean() == pytest.approx(units.values.mean())
    assert len(by.values) == 12
    # As if the samples of a patient were one: the errors of clusters.
    above = units.values - units.values.mean()
    clusters = [above[groups == name].sum() for name in np.unique(groups)]
    assert np.var(by.values) / 12 == pytest.approx(np.sum(np.square(clusters)) / 300**2)


def test_groups_without_a_positive_are_no_draws_of_a_precision() -> None:
    arrays = rare()
    groups = np.where(arrays["labels"] == 1, np.arange(300) % 4, np.arange(300) % 7)
    by = units_by(pseudo_values("binary", "average_precision", **arrays), groups)
    assert (len(by.values), by.independent) == (7, 4)


def test_a_group_of_each_unit_changes_nothing() -> None:
    units = Units.of([1.0, 0.0, 4.0])
    np.testing.assert_array_equal(units_by(units, [3, 4, 5]).values, units.values)


def test_units_and_metrics_that_do_not_fit_name_the_argument() -> None:
    with pytest.raises(ValueError, match=r"groups: wanted one a sample, shape \(3,\); got \(2,\)"):
        units_by(Units.of([1.0, 0.0, 4.0]), [1, 2])
    with pytest.raises(ValueError, match=r"metric: wanted one of average_precision, .*; got 'accuracy'"):
        evaluate("binary", "accuracy", **rare())
