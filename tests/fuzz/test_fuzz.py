"""A few thousand cases in every test run, and that a planted fault would be seen in them."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from fuzz.generate import make
from fuzz.known import KNOWN, Known, explained
from fuzz.oracle import judge
from fuzz.run import Chunk, State, Tally, check, chunks, run_chunk
from fuzz.subjects import CARDS
from lossary.catalogue import find
from mutants.faults import MUTANTS

pytestmark = pytest.mark.skipif(
    torch.__version__ < "2.8", reason="this torch indexes no unsigned integers, and fills no half with what overflows"
)
#: Cases of each loss.
CASES = 40


@pytest.mark.slow
@pytest.mark.parametrize("name", CARDS)
def test_cases(name: str) -> None:
    tally = run_chunk(Chunk(name, 0, CASES))
    assert tally.failures == {}
    assert tally.outcomes["compared"] > CASES / 2, "most calls of a good fuzzer are answered"
    assert tally.outcomes.total() == CASES


def test_a_case_is_its_name_and_seed() -> None:
    for name in ("cosface_loss", "dice_loss"):
        first, again = make(name, 7), make(name, 7)
        assert repr(first) == repr(again)
        assert repr(make(name, 8)) != repr(first)


@pytest.mark.parametrize("known", [k for k in KNOWN if k.example], ids=lambda known: known.example)
def test_a_rare_explanation_is_still_wanted(known: Known) -> None:
    name, _, seed = known.example.rpartition(":")
    case = make(name, int(seed))
    reasons, left = explained(case, judge(case).faults)
    assert known.reason in reasons
    assert left == []


def test_every_loss_gets_its_share() -> None:
    shares = Counter[str]()
    for chunk in chunks(list(CARDS), 0, 10_000):
        shares[chunk.card] += chunk.size
    assert shares.keys() == CARDS.keys()
    assert shares.total() >= 10_000
    assert len(set(shares.values())) == 1


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    """Finished chunks are kept, a half-written line is nobody's, and another plan is refused."""
    path = tmp_path / "state.jsonl"
    plan: dict[str, object] = {"seed": 0, "count": 3}
    chunk = Chunk("mse_loss", 0, 3)
    tally = Tally(Counter(compared=2, failed=1), Counter(), {"mse_loss:1": ["value"]})
    State(path, plan).finish(chunk, tally)
    with path.open("a") as file:
        file.write(json.dumps({"chunk": "mse_loss:250+3"})[:9])
    resumed = State(path, plan)
    assert resumed.done == {chunk.key: tally}
    resumed.finish(Chunk("mse_loss", 250, 3), tally)
    assert len(State(path, plan).done) == 2, "what is written after a half-written line counts"
    with pytest.raises(SystemExit, match="wanted the state of this run"):
        State(path, {"seed": 1, "count": 3})


#: Planted faults that a few hundred cases must show, among those that the laws are shown.
SEEN = (
    "log cosh cancels for small residuals",
    "ArcFace without its far branch",
    "Dice counts ignored positions",
    "the hardest positive is the nearest",
    "the margin has the wrong sign",
    "the squared error is halved",
)


@pytest.mark.sample(3)
@pytest.mark.parametrize("fault", SEEN)
def test_planted_faults_are_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = next(m for m in MUTANTS if m.fault == fault)
    tally = Tally()
    with mutant.plant(find(mutant.loss)) as wrong:
        monkeypatch.setitem(CARDS, mutant.loss, wrong)
        for seed in range(300):
            check(mutant.loss, seed, tally)
    assert tally.failures, f"{fault}: 300 cases did not see it"
