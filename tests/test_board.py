"""The board: its questions and tables are sound, what is stored is judged as it was run, what is planted is found."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board import answers, contenders, page, questions, runs, stored, tables, tasks, work
from board.stored import Stored, metric_of, threshold
from board.tables import Table

from lossary.lab.data.builtin import BUILTIN
from lossary.lab.data.contents import BadData
from lossary.lab.run.entrants import entrants
from lossary.lab.run.plan import Plan
from lossary.lab.run.train import batch_of
from lossary.lab.stats.judge import judge

SHARES = {"binary": (0.9, 0.1), "classification": (0.5, 0.3, 0.2), "regression": ()}


def labels(task: Any) -> set[str]:
    return set(entrants(contenders.contenders(task, SHARES[task]), task))


@pytest.mark.parametrize("task", SHARES)
def test_ten_losses_a_task_with_the_one_they_are_counted_against(task: str) -> None:
    assert len(labels(task)) == 10
    assert contenders.BASELINE[task] in labels(task)


def test_questions_are_of_losses_and_metrics_that_there_are() -> None:
    found = questions.asked()["question"]
    assert len({q["id"] for q in found}) == len(found)
    for q in found:
        assert {q["a"], q["b"]} <= labels(q["task"])
        assert metric_of(q["task"], q["metric"])


def test_two_hundred_tables_none_twice() -> None:
    listed = tables.listed()
    assert len({table.name for table in listed}) == len(listed) == questions.asked()["looks"][-1]
    assert {table.task for table in listed} == set(contenders.BASELINE)


def test_a_batch_of_a_table_of_classes_is_drawn_at_random() -> None:
    data = next(table for table in tables.listed() if table.name == "sklearn.digits").data()
    assert batch_of(data, Plan(data=data.name))[1] == 0  # no number of items of each class


def test_every_built_in_data_set_has_eight_losses() -> None:
    assert {task.data for task in tasks.listed()} <= BUILTIN.keys()
    for task in tasks.listed():
        assert len(entrants(task.losses, BUILTIN[task.data].task)) >= 8
        for entrant in entrants(task.losses, BUILTIN[task.data].task).values():
            entrant.check_fits(BUILTIN[task.data].task, task.data)


def test_a_table_is_stored_as_it_was_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runs, "RESULTS", tmp_path)
    monkeypatch.setattr(runs, "STEPS", 60)
    monkeypatch.setattr(runs, "SEEDS", (1, 2, 3))
    wine = Table("sklearn", "wine", "target", "classification")
    runs.run(wine)
    kept = Stored.load(runs.path_of(wine))
    trained = [record for record in kept.records("accuracy") if record.card]
    assert len(trained) == 30
    assert kept.about["baselines"] == ["always the commonest class"], "what learns is no constant"
    for record in trained:  # the best of the watched accuracies is near that of the test rows
        assert abs(max(point.valid for point in record.curve) - record.metrics["accuracy"]) < 0.25
    verdict = judge(kept.records("log_loss"), metric_of("classification", "log_loss")[0])
    assert verdict.standings[0].mean < 0.5
    assert verdict.standings[-1].role == "baseline" or verdict.standings[-1].mean > 0.5


def planted(task: str, scores: dict[str, np.ndarray], truth: np.ndarray, **more: Any) -> Stored:
    """A table on which losses predict this, (seeds, rows) each."""
    test = np.stack(list(scores.values()))
    looks = np.broadcast_to(np.arange(1, 31) * 20, (*test.shape[:2], 30))
    watched = np.broadcast_to(2 - 0.5 ** np.arange(30), looks.shape)
    sign = -1 if task == "regression" else 1
    about = {"task": task, "shares": [], "baselines": ["constant"], "offset": 0.0, "scale": 1.0}
    arrays = {
        "losses": np.array(list(scores)),
        "test": test,
        "truth": truth,
        "constants": np.zeros(1),
        "looks": looks,
        "curves": sign * watched,
        "seconds_per_step": np.ones(test.shape[:2]),
    }
    return Stored(about, arrays | more)


def of_noise(random: np.random.Generator, truth: np.ndarray, error: float) -> np.ndarray:
    return truth + error * random.standard_normal((5, len(truth)))


def test_a_question_is_answered_as_planted() -> None:
    random = np.random.default_rng(0)
    found = {}
    for number in range(20):
        truth = random.standard_normal(300)
        better, same = of_noise(random, truth, 0.3), of_noise(random, truth, 0.5)
        found[f"t{number}"] = planted("regression", {"a": better, "b": same, "c": same + 1e-4}, truth)
    of = {"task": "regression", "metric": "mae"}
    asked = {
        "level": 0.05,
        "looks": [10, 20],
        "question": [{**of, "a": "a", "b": "b"}, {**of, "a": "b", "b": "a"}, {**of, "a": "c", "b": "b"}],
    }
    first, turned, equal = answers.answered(asked, found, list(found))
    assert (first["answer"], first["better"], first["ahead"]) == ("better", 20, 20)
    assert (turned["answer"], turned["worse"], turned["ahead"]) == ("worse", 20, 0)
    assert equal["answer"] == "equal"
    early, *_ = answers.answered(asked, dict(list(found.items())[:9]), list(found))
    assert early["answer"] == "open", "before the first look nothing is claimed"


def test_of_what_has_not_learned_nothing_is_claimed_by_any_metric() -> None:
    random = np.random.default_rng(3)
    truth = random.standard_normal(300)
    one = planted("regression", {"a": of_noise(random, truth, 0.3), "b": of_noise(random, truth, 5.0)}, truth)
    rising = one.arrays["curves"].copy()
    rising[1] = -rising[1]  # b's error grows from the first look on, and it ends above that of a constant
    one.arrays["curves"] = rising
    assert one.asleep == {"b"}
    verdict = judge(one.records("rmse"), metric_of("regression", "rmse")[0])
    assert answers.said(verdict, "a", "b", one.asleep)[0] == "not learned"


def test_a_part_that_cannot_be_run_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    def refused() -> None:
        raise BadData("data: x comes with y: pip install y")

    assert work.do(work.Part("x", Path(), refused))
    assert capsys.readouterr().err == "x: data: x comes with y: pip install y\n"


def test_a_threshold_is_tuned_on_the_validation_rows() -> None:
    random = np.random.default_rng(1)
    truth = (random.random(400) < 0.1).astype(int)
    scores = 2 * truth - 4 + 0.1 * random.standard_normal((5, 400))  # in order, but never above 0
    one = planted("binary", {"a": scores}, truth, valid=scores[None], valid_truth=truth)
    assert one.records("f1")[0].metrics["f1"] == 0
    assert one.records("f1 tuned")[0].metrics["f1"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("metric", ["f1", "balanced_accuracy"])
def test_the_best_threshold_is_that_of_trying_all(metric: str) -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score

    score = {"f1": f1_score, "balanced_accuracy": balanced_accuracy_score}[metric]
    random = np.random.default_rng(2)
    truth, scores = random.integers(0, 2, 60), random.integers(0, 9, 60).astype(float)  # with ties
    best = max(score(truth, scores > at) for at in (*np.unique(scores), -np.inf))
    assert score(truth, scores > threshold(metric, scores, truth)) == pytest.approx(best)


def test_a_table_of_one_name_is_one_file() -> None:
    listed = tables.listed()
    assert len({runs.path_of(table).name for table in listed}) == len(listed)
    assert stored.TUNED not in "".join(table.name for table in listed)


def test_what_the_losses_pages_cite_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "FEWEST_CITED", 1)
    text = page.page()
    links = re.findall(r"\.\./board\.md#([^)]+)", "".join(page.cited().values()))
    assert links
    assert [link for link in links if f'<a id="{link}"></a>' not in text] == []
    assert all(f'<a id="{q["id"]}"></a>' in text for q in questions.asked()["question"])
