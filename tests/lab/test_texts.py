"""Texts to be told apart: columns of texts in tables and JSON lines, as numbers and as a baseline of words."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from lossary.cli import main
from lossary.lab.data.contents import BadData
from lossary.lab.data.loading import load
from lossary.lab.run import jobs
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import load_all
from lossary.lab.tasks._learners import OF_WORDS


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)  # other processes would take seconds to start


FILLERS = ["the", "a", "of", "and", "to", "in", "that", "it", "was", "for", "on", "are", "as", "with", "they", "be"]
TOLD = {"praise": ["lovely", "great", "warm", "bright"], "blame": ["broken", "awful", "cold", "late"]}


def mails(rows: int = 160) -> tuple[list[str], list[str]]:
    """Texts of which two words tell the label."""
    random = np.random.default_rng(0)
    labels = [list(TOLD)[row % 2] for row in range(rows)]
    words = ([*random.choice(FILLERS, 8), *random.choice(TOLD[label], 2)] for label in labels)
    return [" ".join(random.permutation(some)) for some in words], labels


def table(path: str = "mails.csv", rows: int = 160) -> str:
    texts, labels = mails(rows)
    pl.DataFrame({"body": texts, "label": labels, "number": [f"m-{row}" for row in range(rows)]}).write_csv(path)
    return path


def test_texts_are_told_apart_and_inspect_says_what_is_read_and_what_is_skipped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["inspect", table()])
    told = " ".join(capsys.readouterr().out.split())
    assert "body text (160 different, median 10 words, complete)" in told
    assert "number skip (160 different strings)" in told
    assert "classification: the target names 2 classes" in told


def test_a_comparison_of_texts_beats_the_commonest_class_and_is_held_to_a_linear_model_of_words() -> None:
    main(["compare", table(), "--losses", "cross_entropy,focal_loss", "--seeds", "2", "--trials", "1"])
    scores = {(r.role, r.loss): r.metrics["accuracy"] for r in load_all(Path("lossary-runs/mails.csv"))}
    assert scores["baseline", OF_WORDS] > 0.9
    assert scores["tuned", "cross_entropy"] > scores["baseline", "always the commonest class"] + 0.2


@pytest.mark.parametrize("task", ["binary", "classification", "zero-shot"])
def test_json_lines_with_a_label_are_a_table(task: str) -> None:
    texts, labels = mails()
    if task == "zero-shot":
        labels = [f"author {row // 8}" for row in range(160)]
    lines = (json.dumps({"text": text, "label": label}) for text, label in zip(texts, labels, strict=True))
    Path("mails.jsonl").write_text("\n".join(lines))
    data = load(Plan("mails.jsonl", task=task))
    assert data.task == task
    assert data.texts is not None
    assert [len(part) for part in data.texts] == [len(data.train), len(data.valid), len(data.test)]


def test_json_lines_without_a_label_are_pairs_and_a_target_makes_them_a_table() -> None:
    texts, labels = mails()
    lines = (
        json.dumps({"query": text, "answer": f"{label} {text}"}) for text, label in zip(texts, labels, strict=True)
    )
    Path("pairs.jsonl").write_text("\n".join(lines))
    assert load(Plan("pairs.jsonl")).task == "retrieval"
    lines = (json.dumps({"stars": row % 3, "text": text}) for row, text in enumerate(texts))
    Path("stars.jsonl").write_text("\n".join(lines))
    assert load(Plan("stars.jsonl", task="classification", target="stars")).test.classes == 3


def test_weights_and_directions_of_texts_are_those_of_the_training_rows() -> None:
    data = load(Plan(table()))
    assert data.texts is not None
    changed = [text if text in data.texts[0] else f"{text} zzz qqq" for text in mails()[0]]
    pl.read_csv("mails.csv").with_columns(pl.Series("body", changed)).write_csv("other.csv")
    other = load(Plan("other.csv"))
    torch.testing.assert_close(other.train.inputs[torch.arange(20)], data.train.inputs[torch.arange(20)])


def test_a_column_is_a_text_or_none_where_that_is_asked() -> None:
    assert (
        load(Plan(table(), types="number=text")).valid.inputs.shape[1] > load(Plan("mails.csv")).valid.inputs.shape[1]
    )
    with pytest.raises(BadData, match="got no usable one"):
        load(Plan("mails.csv", types="body=skip"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('{"label": 1}\n[2]', "line 2: wanted a JSON object; got list"),
        ('{"label": 1}\n{"label": "a"}', "wanted values of one kind for each key"),
    ],
)
def test_lines_that_are_no_table_are_named(lines: str, said: str) -> None:
    Path("t.jsonl").write_text(lines)
    with pytest.raises(BadData, match=said):
        load(Plan("t.jsonl"))
