"""The sample of a usual run: every law and every loss stays, it is the same again, and everything is there if asked."""

from collections import Counter
from dataclasses import dataclass

import pytest

import samples
import usual
from contract.test_contract import DEAR, SUBJECTS, usual_cases
from lossary.catalogue import CATALOGUE
from lossary.testing.laws.law import LAWS

SEEDS = ("0", "a1b2c3")


def cases(seed: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Of each case its law, its loss and its variant."""
    monkeypatch.setenv(usual.SWITCH, seed)
    return [(law.name, subject.card.name, subject.id) for law, subject in usual_cases()]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_law_is_asked_of_every_loss_but_for_those_that_cost_a_second(
    seed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = cases(seed, monkeypatch)
    asked = {(law, loss) for law, loss, _ in taken}
    wanted = {(law.name, s.card.name) for law in LAWS.values() for s in SUBJECTS if law.concerns(s)}
    assert {law for law, _ in asked} == set(LAWS)
    assert {loss for _, loss in asked} == {card.name for card in CATALOGUE}
    assert {law for law, _ in wanted - asked} == set(DEAR)
    for law, share in DEAR.items():
        assert sum(name == law for name, _ in asked) * share >= sum(name == law for name, _ in wanted)
    assert Counter((law, loss) for law, loss, _ in taken).most_common(1)[0][1] == 1


def test_in_every_run_almost_every_variant_is_asked_something(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({subject for *_, subject in cases(SEEDS[0], monkeypatch)}) > 0.98 * len(SUBJECTS)


def test_a_seed_gives_its_sample_again_and_another_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    first, again, other = (set(cases(seed, monkeypatch)) for seed in ("0", "0", "1"))
    assert first == again != other


def test_everything_is_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = [(law.name, s.card.name, s.id) for law in LAWS.values() for s in SUBJECTS if law.concerns(s)]
    assert sorted(cases("whole", monkeypatch)) == sorted(everything)
    assert len({s.id for s in SUBJECTS}) == sum(len(samples.of(card).variants) for card in CATALOGUE)
    assert usual.some("abcde", 2, "letters") == [*"abcde"]
    assert usual.one_of_each("abcde", str.isupper) == [*"abcde"]
    assert usual.few(20, 5) == 20


def test_over_some_runs_each_case_is_taken_and_its_order_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()
    for seed in range(40):
        monkeypatch.setenv(usual.SWITCH, str(seed))
        some = usual.some("abcdefg", 3, "letters")
        assert len(some) == 3  # a third, rounded up
        assert some == sorted(some)
        seen.update(some)
        assert len(usual.some("a", 5, "one")) == 1
        assert usual.few(20, 5) == 5
    assert set(seen) == set("abcdefg")


@pytest.mark.parametrize(
    ("given", "named", "wanted"),
    [
        ("", False, usual.by_commit()),
        ("", True, "whole"),
        ("7", True, "7"),
        ("7", False, "7"),
        ("whole", False, "whole"),
    ],
)
def test_what_is_named_is_run_whole_unless_a_seed_is_given(
    given: str, named: bool, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(usual.SWITCH, given)
    usual.begin(named=named)
    assert usual.seed() == wanted


@dataclass(eq=False)
class Case:
    nodeid: str
    mark: pytest.Mark | None = None

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return self.mark if name == "sample" else None


def test_of_marked_tests_one_case_in_so_many_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    third = [Case(f"t.py::a[{n}]", pytest.mark.sample(3).mark) for n in range(7)]
    half = [Case(f"t.py::b[{n}]", pytest.mark.sample(2).mark) for n in range(4)]
    plain = [Case("t.py::c")]
    for seed, counts in (("whole", (7, 4, 1)), ("0", (3, 2, 1)), ("1", (3, 2, 1))):
        monkeypatch.setenv(usual.SWITCH, seed)
        left_out = usual.left_out([*third, *half, *plain])
        assert tuple(len(set(of) - left_out) for of in (third, half, plain)) == counts
