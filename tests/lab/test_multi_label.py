"""Several labels per item: cells of tags, arrays of 0 and 1, what is compared and what is reported."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from lossary.catalogue import find
from lossary.cli import main
from lossary.lab.data.contents import BadData
from lossary.lab.data.loading import load
from lossary.lab.run import jobs
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import load_all
from lossary.lab.tasks import task_of
from lossary.lab.tasks.fitting import attach, fitting
from lossary.lab.tasks.multi_label.task import BASE_RATES


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)  # other processes would take seconds to start


def films(path: str, rows: int = 120, between: str = ";", **columns: object) -> str:
    """A CSV of films, whose tags two columns tell."""
    rng = np.random.default_rng(0)
    speed, tears = rng.normal(size=(2, rows))
    told = [
        ("action", speed > 0),
        ("drama", tears > 0),
        ("short", rng.random(rows) < 0.3),
        ("odd", np.arange(rows) < 2),
    ]
    tags = [between.join(name for name, has in told if has[row]) or "other" for row in range(rows)]
    pl.DataFrame({"speed": speed, "tears": tears, "genres": tags, **columns}).write_csv(path)
    return path


def test_cells_of_tags_are_several_labels_and_inspect_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    main(["inspect", films("films.csv"), "--target", "genres"])
    told = " ".join(capsys.readouterr().out.split())
    assert "multi-label: 44 targets have several labels, with ; between them" in told
    assert "a row has 1 to 3 of them" in told
    assert "1 label that too few or all rows have: odd (2)" in told
    assert "binary_cross_entropy_with_logits" in told


def test_a_comparison_of_tags_ends_in_a_report_that_tells_the_labels_apart(capsys: pytest.CaptureFixture[str]) -> None:
    losses = "binary_cross_entropy_with_logits,multilabel_margin_loss,soft_margin_loss"
    main(["compare", films("films.csv"), "--target", "genres", "--losses", losses, "--seeds", "2", "--trials", "1"])
    told = capsys.readouterr().out
    assert "Mean AP" in told
    records = load_all(Path("lossary-runs/films.csv"))
    scores = {(r.role, r.loss): r.metrics["mean_ap"] for r in records}
    for loss in losses.split(","):
        assert scores["tuned", loss] > scores["baseline", BASE_RATES] + 0.2
    report = Path("lossary-runs/films.csv/report.html").read_text()
    assert "Label by label" in report
    assert "drama" in report


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["red;round", "red", "round", "flat;red"] * 15, "multi-label"),
        (["red|round", "red", "round", "flat|red"] * 15, "multi-label"),
        (["Oslo, NO", "Rome, IT"] * 30, "classification"),  # a comma is in many a name
        (["cat;feline", "dog;canine"] * 30, "classification"),  # two names of a class
        (["caf&eacute;", "bar", "pub;"] * 20, "classification"),  # a separator at the end
    ],
)
def test_labels_are_several_where_they_come_again_in_other_company(values: list[str], task: str) -> None:
    pl.DataFrame({"size": np.random.default_rng(0).normal(size=60), "target": values}).write_csv("t.csv")
    assert load(Plan("t.csv")).task == task


def test_commas_are_between_labels_where_that_is_asked() -> None:
    data = load(Plan(films("films.csv", between=", "), target="genres", task="multi-label"))
    assert data.test_names == ("action", "drama", "other", "short")


def test_arrays_of_labels_and_cells_of_tags_are_the_same_data() -> None:
    table = load(Plan(films("films.csv"), target="genres"))
    tags = pl.read_csv("films.csv")["genres"].to_list()
    names = sorted({name for cell in tags for name in cell.split(";")})
    labels = np.array([[name in cell.split(";") for name in names] for cell in tags])
    embeddings = pl.read_csv("films.csv").select("speed", "tears").to_numpy()
    np.savez("films.npz", embeddings=embeddings, labels=labels.astype(int), label_names=names)
    stored = load(Plan("films.npz"))
    assert (stored.task, stored.test_names) == ("multi-label", table.test_names)
    torch.testing.assert_close(stored.train.targets, table.train.targets)
    assert stored.train.targets.dtype == torch.bool


@pytest.mark.parametrize(
    ("labels", "asked", "said"),
    [
        (np.arange(60) % 3, {"task": "multi-label"}, "wanted labels as in red;round"),
        (np.eye(60, 3, dtype=int), {}, "wanted at least 2 labels that 3 or more different rows have"),
        (
            np.eye(3, dtype=int)[np.arange(60) % 3],
            {"task": "zero-shot"},
            "wanted data for zero-shot; got 3 labels per row",
        ),
        (np.full((60, 3), 2), {}, "of two with a 0 or 1 for each label"),
    ],
)
def test_what_is_no_several_labels_is_refused(labels: np.ndarray, asked: dict[str, Any], said: str) -> None:
    np.savez("t.npz", embeddings=np.random.default_rng(0).normal(size=(60, 4)), labels=labels)
    with pytest.raises(BadData, match=said):
        load(Plan("t.npz", **asked))


def test_rows_of_one_group_are_in_one_part_and_are_what_is_compared() -> None:
    data = load(Plan(films("films.csv", studio=np.arange(120) // 4), target="genres", by="studio"))
    assert data.test_blocks is not None
    assert np.bincount(data.test_blocks).tolist() == [4] * (len(data.test) // 4)


def test_losses_of_one_logit_a_label_fit_and_a_list_of_labels_is_made_for_the_one_that_wants_it() -> None:
    assert {"binary_cross_entropy_with_logits", "sigmoid_focal_loss", "multilabel_margin_loss"} <= set(
        fitting("multi-label")
    )
    assert set(task_of("multi-label").losses) <= set(fitting("multi-label"))
    outputs, targets = (
        torch.randn(5, 4),
        torch.tensor([[1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0], [1] * 4]),
    )
    criterion = attach(find("multilabel_margin_loss"), {}, "multi-label", 4, 4)
    lists = torch.full((5, 4), -1)
    for row, has in enumerate(targets):
        lists[row, : has.sum()] = has.nonzero().flatten()
    expected = torch.nn.functional.multilabel_margin_loss(outputs, lists)
    torch.testing.assert_close(criterion(outputs, targets == 1), expected)


def test_keywords_are_the_words_of_an_emojis_name() -> None:
    data = load(Plan("keywords"))
    assert {"face", "heart", "woman"} <= set(data.test_names)
    assert data.test_blocks is not None
    first = np.flatnonzero(data.test_blocks == data.test_blocks[0])
    assert len(first) == 3  # designers
    assert (data.test.targets[first] == data.test.targets[first[0]]).all()
