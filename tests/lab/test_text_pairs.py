"""Pairs of texts: what is found and split, what is scored, and that losses see the pairs as they are."""

import json
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import ndcg_score

from lossary.catalogue import CATALOGUE, find
from lossary.cli import main
from lossary.lab.data import files
from lossary.lab.data.contents import BadData
from lossary.lab.data.loading import load
from lossary.lab.data.readers import pairs
from lossary.lab.data.types import Data
from lossary.lab.run import jobs
from lossary.lab.run.entrants import entrants
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import load_all
from lossary.lab.run.train import train
from lossary.lab.tasks import task_of
from lossary.lab.tasks.fitting import fits, fitting
from lossary.lab.tasks.retrieval import metrics as metric
from lossary.lab.tasks.retrieval.metrics import grouped, search
from lossary.lab.tasks.retrieval.task import OfReferences
from lossary.lab.tasks.scoring import evaluate, score

TASK = task_of("retrieval")
HOSTILE = "<script>alert(1)</script>"
WORDS = ("red", "blue", "green", "small", "large", "round", "flat", "old", "new", "cold")
TINY = ("--seeds", "1", "--trials", "1", "--epochs", "2")


def drawn(queries: int = 40, documents: int = 60, size: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and numbers of pairs, where queries and documents repeat."""
    random = np.random.default_rng(0)
    texts = np.column_stack([random.integers(0, queries, 90), queries + random.integers(0, documents, 90)])
    of_text = random.normal(size=(queries + documents, size))
    return of_text[texts], texts


def written(path: str, rows: int = 60, **changed: Sequence[str | None]) -> str:
    """A file of questions and answers."""
    question = [f"what is {WORDS[n % 10]} and {n}?" for n in range(rows)]
    answer = [f"number {n} is {WORDS[n % 10]}" for n in range(rows)]
    frame = pl.DataFrame({"question": question, "answer": answer, **changed})
    match Path(path).suffix:
        case ".csv":
            frame.write_csv(path)
        case ".parquet":
            frame.write_parquet(path)
        case _:
            Path(path).write_text("\n".join(json.dumps(row) for row in frame.to_dicts()))
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)


# --- metrics ---


def test_metrics_by_hand() -> None:
    # Cosines of query 0 with documents 2, 3, 4: 1, .8, .6; 3 and 4 are right. Of query 1: .6, .96, 1; 2 is right.
    queries = {0: [1.0, 0.0], 1: [0.6, 0.8]}
    documents = {2: [1.0, 0.0], 3: [0.8, 0.6], 4: [0.6, 0.8]}
    texts = [(0, 3), (0, 4), (1, 2)]
    scores, units, _ = evaluate("retrieval", embeddings=[(queries[q], documents[d]) for q, d in texts], targets=texts)
    second, third = 1 / np.log2(3), 1 / np.log2(4)
    mean = ((second + third) / (1 + second) + third) / 2
    assert np.mean(units) == pytest.approx(mean)
    assert scores == pytest.approx(
        {"document_ndcg@10": mean, "mrr": (1 / 2 + 1 / 3) / 2, "recall@1": 0.0, "recall@10": 1.0}
    )


def test_ndcg_is_that_of_scikit_learn() -> None:
    embeddings, texts = drawn()
    queries, documents = np.unique(texts[:, 0]), np.unique(texts[:, 1])
    near, far = (
        np.stack([embeddings[texts[:, side] == text, side][0] for text in numbers])
        for side, numbers in enumerate((queries, documents))
    )
    near, far = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (near, far))
    right = np.array([[(texts == (q, d)).all(1).any() for d in documents] for q in queries])
    wanted = ndcg_score(right, near @ far.T, k=10)
    assert score("retrieval", embeddings=embeddings, targets=texts) == pytest.approx(wanted)


def test_a_query_counts_once_however_many_pairs_it_is_in() -> None:
    embeddings, texts = drawn()
    again = np.random.default_rng(1).integers(0, len(texts), 200)
    twice = evaluate(
        "retrieval",
        embeddings=np.concatenate([embeddings, embeddings[again]]),
        targets=np.concatenate([texts, texts[again]]),
    )
    scores, units, _ = evaluate("retrieval", embeddings=embeddings, targets=texts)
    assert len(units) == 1 + grouped(texts).max()
    assert twice[0] == pytest.approx(scores)
    assert twice[1] == pytest.approx(units)


def test_a_collapsed_embedding_finds_nothing() -> None:
    _, texts = drawn()
    scores, _, _ = evaluate("retrieval", embeddings=np.ones((len(texts), 2, 4)), targets=texts)
    assert scores["document_ndcg@10"] == scores["recall@10"] == 0


def test_the_own_text_of_a_query_is_not_searched() -> None:
    # Text 1 answers 0 and is answered by 2: as a query it is nearest to itself.
    embeddings = np.array([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.8, 0.6]]])
    found = search(embeddings, [[0, 1], [1, 2]])
    assert found.found[1].tolist()[0] == 2
    assert found.rank.tolist() == [2, 1]
    # Unless a pair says that it is the answer.
    assert search(embeddings, [[0, 2], [1, 1]]).rank.tolist()[1] == 2
    assert search(embeddings[:, ::-1], [[0, 2], [1, 1]]).rank.tolist()[1] == 1


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, texts = drawn()
    whole = evaluate("retrieval", embeddings=embeddings, targets=texts)
    monkeypatch.setattr(metric, "_BLOCK", 130)
    parted = evaluate("retrieval", embeddings=1e-200 * embeddings, targets=texts)
    assert parted.metrics == whole.metrics
    assert parted.units == pytest.approx(whole.units, abs=1e-12)


@pytest.mark.parametrize(
    ("embeddings", "targets", "message"),
    [
        (np.ones((3, 4)), np.ones((3, 2)), r"embeddings: wanted shape \(pairs, 2, dimensions\)"),
        (np.ones((3, 2, 4)), np.ones(3), "targets: wanted two numbers a pair"),
        (np.full((3, 2, 4), np.nan), np.arange(6).reshape(3, 2), "embeddings: wanted finite"),
        (np.ones((1, 2, 4)), [[0, 1]], "targets: wanted at least 2 different documents; got 1"),
    ],
)
def test_what_cannot_be_scored_is_said(embeddings: np.ndarray, targets: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate("retrieval", embeddings=embeddings, targets=targets)


# --- splits ---


def texts_of(data: Data) -> list[set[bytes]]:
    return [
        {row.numpy().tobytes() for row in part.inputs[torch.arange(len(part))].flatten(0, 1)}
        for part in (data.train, data.valid, data.test)
    ]


def test_no_text_is_in_two_parts_on_either_side() -> None:
    parts = texts_of(load(Plan("chatterbot")))
    assert sum(map(len, parts)) == len(set.union(*parts))


def test_parts_have_their_shares_and_what_shares_a_common_answer_is_for_training() -> None:
    lone = np.arange(400).reshape(200, 2)
    common = np.column_stack([np.arange(400, 500), np.full(100, 999)])  # a hundred questions answered by "yes"
    data = pairs.split("d", lambda _: torch.ones(300, 2, 3), np.concatenate([lone, common]), ())
    assert [len(part) for part in (data.train, data.valid, data.test)] == pytest.approx([180, 45, 75], abs=1)
    assert data.train.targets[:, 2].bincount().max() == 100


def test_too_few_groups_are_refused() -> None:
    texts = np.column_stack([np.arange(100), np.full(100, 100)])
    with pytest.raises(
        BadData, match=r"d: wanted at least 20 groups of pairs that share no text .*; got 1 in 100 pairs"
    ):
        pairs.split("d", lambda _: torch.ones(100, 2, 3), texts, ())


def test_names_are_those_of_the_test_texts() -> None:
    data = load(Plan("chatterbot"))
    with np.load(str(resources.files("lossary.lab.data.builtin") / "chatterbot.npz")) as stored:
        called = str(stored["texts"]).split("\n")
        directions = pairs.directions(stored["directions"])
    place = {text: number for number, text in enumerate(called)}
    numbers = torch.tensor([place[name] for name in data.test_names])
    torch.testing.assert_close(directions[numbers[data.test.targets[:, :2]]], data.test.inputs)


# --- files ---


def test_the_three_files_of_texts_are_the_same_data() -> None:
    first, *others = [load(Plan(written(f"chat{suffix}"))) for suffix in (".csv", ".parquet", ".jsonl")]
    assert first.task == "retrieval"
    for other in others:
        for part in ("train", "valid", "test"):
            assert torch.equal(getattr(first, part).inputs, getattr(other, part).inputs)
            assert torch.equal(getattr(first, part).targets, getattr(other, part).targets)


def test_columns_are_found_by_name_or_asked_for() -> None:
    notes = [f"note {n}" for n in range(60)]
    written("chat.csv", note=notes)
    assert dict(files.read(Plan("chat.csv")).source.facts)["documents"].startswith("answer: 60 different texts")
    asked = files.read(Plan("chat.csv", target="note, question"))
    told = dict(asked.source.facts)
    assert (told["queries"].split(":")[0], told["documents"].split(":")[0]) == ("note", "question")
    pl.DataFrame({"left": notes, "right": [f"to {n}" for n in range(60)]}).write_csv("other.csv")
    told = dict(files.read(Plan("other.csv", task="retrieval")).source.facts)
    assert (told["queries"].split(":")[0], told["documents"].split(":")[0]) == ("left", "right")


def test_a_table_with_a_label_stays_a_table() -> None:
    assert (
        load(Plan(written("chat.csv", label=["a", "b"] * 30, size=[str(n % 7) for n in range(60)]))).task
        == "classification"
    )


def test_rows_without_both_texts_are_counted_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [None if n in (3, 7) else f"answer {n}" for n in range(60)]
    main(["inspect", written("gaps.csv", answer=answers)])
    assert "2 rows without both texts: line 5, line 9" in capsys.readouterr().out
    data = load(Plan("gaps.csv"))
    assert sum(map(len, (data.train, data.valid, data.test))) == 58


def test_equal_embeddings_are_one_text_and_texts_beside_them_are_shown() -> None:
    random = np.random.default_rng(0)
    queries, documents = random.normal(size=(2, 60, 8))
    queries[1] = queries[0]
    np.savez("e.npz", queries=queries, documents=documents)
    found = files.read(Plan("e.npz"))
    assert dict(found.source.facts)["answers"] == "59 different queries, 1 of them with several documents"
    assert found.data.test_names == ()
    texts = np.array([f"text {n}" for n in range(60)])
    np.savez(
        "named.npz", queries=queries, documents=documents, query_texts=texts, document_texts=np.char.add(texts, "!")
    )
    named = load(Plan("named.npz"))
    assert len(named.test_names) == len(named.test.targets[:, :2].unique())
    assert all(name.startswith("text ") for name in named.test_names)


def json_lines(*lines: str) -> str:
    Path("bad.jsonl").write_text("\n".join(lines))
    return "bad.jsonl"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            lambda: json_lines('{"query": "a", "document": "b"}', "[1]"),
            "bad.jsonl, line 2: wanted a JSON object; got list",
        ),
        (lambda: json_lines('{"query": "a"', ""), "bad.jsonl, line 1: wanted a JSON object; got Expecting"),
        (lambda: json_lines("[" * 100_000), "bad.jsonl, line 1: wanted a JSON object; got brackets nested too deep"),
        (
            lambda: json_lines('{"query": "a\\ud800", "document": "b"}'),
            "bad.jsonl, line 1: wanted a JSON object; got 'utf-8' codec can't encode character '\\ud800'",
        ),
        (
            lambda: json_lines('{"query": "a", "document": "b"}', '{"query": 3, "document": "b"}'),
            "bad.jsonl, query, line 2: wanted a text; got int",
        ),
        (
            lambda: written("chat.csv") + " --target question,reply",
            "chat.csv: wanted two columns of texts, as --target QUERIES,DOCUMENTS (question, answer); got 'question",
        ),
        (
            lambda: written("none.csv", answer=[None] * 60) + " --task retrieval",
            "none.csv: wanted two columns of texts",
        ),
        (lambda: written("few.csv", rows=12), "few.csv: wanted at least 20 groups of pairs that share no text"),
    ],
)
def test_what_is_malformed_is_refused_in_one_line(
    made: Callable[[], str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *made().split()])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.removeprefix("lossary: ").startswith(said)
    assert told.count("\n") == 1


def test_texts_that_cannot_be_written_are_refused() -> None:
    texts = np.array([f"text {n}\ud800" for n in range(60)])
    embeddings = np.random.default_rng(0).normal(size=(60, 4))
    np.savez("odd.npz", queries=embeddings, documents=-embeddings, query_texts=texts, document_texts=texts)
    with pytest.raises(BadData, match="wanted query_texts and document_texts as 60 strings each"):
        load(Plan("odd.npz"))


def test_embeddings_that_are_no_pairs_are_refused() -> None:
    np.savez("odd.npz", queries=np.ones((5, 3)), documents=np.ones((4, 3)))
    with pytest.raises(BadData, match=r"odd.npz: wanted a document for each query, of one shape \(N, D\); got queries"):
        load(Plan("odd.npz"))


# --- losses ---


def criterion(name: str) -> torch.nn.Module:
    card = find(name)
    entrant = entrants((card.name,), "retrieval")[card.name]
    return entrant.attach(entrant.defaults, "retrieval", 8, 0)


def apart(count: int) -> torch.Tensor:
    """Targets of pairs that share no text."""
    return torch.stack([torch.arange(0, 2 * count, 2), torch.arange(1, 2 * count, 2), torch.arange(count)], dim=1)


@pytest.mark.parametrize("name", fitting("retrieval"))
def test_every_fitting_loss_brings_pairs_together(name: str) -> None:
    torch.manual_seed(0)
    outputs, targets = torch.randn(12, 2, 8, requires_grad=True), apart(12)
    loss = criterion(name)
    optimizer = torch.optim.Adam([outputs], lr=0.05)
    before = score("retrieval", embeddings=outputs.detach(), targets=targets)
    for _ in range(100):
        optimizer.zero_grad()
        order = torch.randperm(12)
        loss(outputs[order], targets[order]).backward()
        assert outputs.grad is not None
        assert outputs.grad.isfinite().all()
        optimizer.step()
    assert before < 0.6
    assert score("retrieval", embeddings=outputs.detach(), targets=targets) == 1


@pytest.mark.parametrize("name", [name for name in fitting("retrieval") if type(criterion(name)) is not OfReferences])
def test_pairs_that_share_a_text_are_not_each_others_negatives(name: str) -> None:
    torch.manual_seed(0)
    outputs, loss = torch.randn(3, 2, 8), criterion(name)
    for targets in ([[0, 1, 0], [0, 2, 0], [0, 3, 0]], [[0, 1, 0], [1, 2, 0], [2, 3, 0]]):
        together = loss(outputs, torch.tensor(targets))
        alone = [loss(outputs[row : row + 1], torch.tensor(targets[row : row + 1])) for row in range(3)]
        torch.testing.assert_close(together, torch.stack(alone).mean())
    assert loss(outputs, apart(3)) > 0


def test_all_documents_of_a_query_are_its_positives() -> None:
    torch.manual_seed(0)
    outputs = torch.randn(3, 2, 8)
    one_query = torch.tensor([[0, 1, 0], [0, 2, 0], [0, 3, 0]])
    assert criterion("triplet_loss")(outputs, one_query) == 0  # no negative is left
    query, document = outputs[:, None, 0], outputs[None, :, 1]
    torch.testing.assert_close(
        criterion("contrastive_loss")(outputs, one_query), 0.5 * (query - document).square().sum(-1).mean()
    )


def test_losses_of_other_data_do_not_fit() -> None:
    assert not {"mse_loss", "cross_entropy", "dice_loss", "margin_ranking_loss", "arcface_loss"} & {
        *fitting("retrieval")
    }
    assert {*TASK.losses} <= {card.name for card in CATALOGUE if fits(card, "retrieval")}


# --- the whole ---


def test_training_finds_more_than_what_it_starts_from() -> None:
    random = np.random.default_rng(0)
    queries = random.normal(size=(300, 16))
    turned = queries @ np.linalg.qr(random.normal(size=(16, 16)))[0]
    np.savez("turned.npz", queries=queries, documents=0.2 * queries + turned)
    plan = Plan("turned.npz", epochs=20)
    data = load(plan)
    free = evaluate("retrieval", **TASK.arrays(TASK.baseline(data.raw, data, 0), data.test, data))[0]
    outcome = train(entrants(("clip_loss",), "retrieval")["clip_loss"], {"lr": 1e-2}, data, plan, 0)
    learned = evaluate("retrieval", **TASK.arrays(outcome.learner.predict(data.test.inputs), data.test, data))[0]
    assert learned["mrr"] > free["mrr"]


def test_a_comparison_of_texts_ends_in_a_report_in_which_texts_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [f"{HOSTILE} {WORDS[n % 10]} {n}" for n in range(60)]
    written("chat.jsonl", answer=answers)
    main(["compare", "chat.jsonl", "--losses", "clip_loss,triplet_loss", *TINY, "--out", "run"])
    assert "nDCG@10" in capsys.readouterr().out
    report = Path("run/report.html").read_text()
    assert HOSTILE not in report
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in report
    assert {record.loss for record in load_all(Path("run")) if not record.card} == {
        "untrained features",
        "TF-IDF of characters",
    }
