"""The table of other libraries' losses: what it says is here is here, and its rows are whole."""

import inspect
import sys
from pathlib import Path

import pytest

import lossary

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "scripts"))  # which are not installed
import union  # noqa: E402

ROWS = union.rows()


@pytest.mark.parametrize("row", [row for row in ROWS if row.where], ids=lambda row: row.loss)
def test_what_is_said_to_be_here_is_public(row: union.Row) -> None:
    for where in row.where:
        union.resolve(where)


def test_every_row_is_whole_and_there_once() -> None:
    losses = [row.loss for row in ROWS]
    assert len(set(losses)) == len(losses)
    assert all(row.family and 1 <= row.demand <= 5 for row in ROWS)


def test_what_is_said_of_a_row_is_said_of_one_that_there_is() -> None:
    entries = union.read("where.tsv")
    assert {entry["loss"] for entry in entries} <= {row.loss for row in ROWS}
    assert all(entry["where"] or entry["why"] for entry in entries), "neither where it is nor why it is not"
    assert len({entry["loss"] for entry in entries}) == len(entries)


def test_good_first_losses_are_missing_and_have_a_file_to_go_to() -> None:
    missing = {row.loss for row in ROWS if row.state == "no"}
    for entry in union.read("first.tsv"):
        assert entry["loss"] in missing, "no longer one to begin with: take it from first.tsv"
        assert (ROOT / "src/lossary/losses" / entry["where"]).is_file()
        assert entry["how"]


def test_losses_are_found_by_their_names() -> None:
    found = {row.loss: row for row in ROWS}
    assert found["mse_loss"].where == ("mse_loss",)
    assert found["cox_ph_loss (Breslow/Efron ties)"].where == ("cox_ph_loss",)
    assert found["distance: cosine / dot / squared L2"].state == "have"
    assert union.names("msle / rmsle-loss (logs)") == ["msle", "rmsle_loss"]
    assert union.by_name("gaussian_nll") == "gaussian_nll_loss"
    assert union.by_name("no such thing") is None


def test_a_row_of_which_something_is_lacking_is_here_in_part() -> None:
    row = next(row for row in ROWS if row.loss.startswith("feature_distill"))
    assert row.where
    assert row.lacking
    assert row.state == "partly"


def test_a_name_that_is_not_public_is_refused() -> None:
    assert union.resolve("mse_loss") is lossary.functional.mse_loss
    assert union.resolve("triplet_loss.mining") == inspect.signature(lossary.triplet_loss).parameters["mining"].default
    for wrong in ("mse_los", "mse_loss.halve", "losses._batch", "mse_loss.__wrapped__"):
        with pytest.raises(LookupError, match="wanted a public name"):
            union.resolve(wrong)
