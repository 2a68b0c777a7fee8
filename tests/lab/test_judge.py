"""The judge: no more false claims than promised, true differences found, plain about what it cannot know."""

import importlib.util
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lossary.lab import crossed
from lossary.lab.crossed import Crossed, hochberg, holm, pool_seeds
from lossary.lab.judge import judge
from lossary.lab.metrics import PRIMARY
from lossary.lab.record import Record

RECALL, MAE = PRIMARY["zero-shot"], PRIMARY["regression"]


def calibration():
    path = Path(__file__).parents[2] / "scripts" / "calibrate_judge.py"
    spec = importlib.util.spec_from_file_location("calibrate_judge", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simulation = calibration()


def run(loss, seed, units, role="tuned", **kwargs):
    return Record(loss, "" if role == "baseline" else loss, role, seed, {}, {}, list(map(float, units)), **kwargs)


def study(means, *, seeds=5, units=200, seed_sd=0.005, noise=0.1, rng_seed=0, role="tuned"):
    """Losses around ``means``, on units of differing difficulty that all share."""
    rng = np.random.default_rng(rng_seed)
    hard = 0.2 * rng.standard_normal(units)
    return [
        run(loss, s, mean + hard + seed_sd * rng.standard_normal() + noise * rng.standard_normal(units), role)
        for loss, mean in means.items()
        for s in range(seeds)
    ]


def only(verdict):
    (comparison,) = verdict.comparisons
    return comparison


# --- how often it errs ---


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("world", ["same loss twice", "seeds matter most", "heavy tails"])
def test_equal_losses_are_told_apart_in_at_most_5_percent_of_studies(world, seeds):
    assert simulation.false_claims(replace(simulation.EQUAL[world], seeds=seeds, units=100), 200) <= 10


@pytest.mark.parametrize("rival", ["t test over units", "Satterthwaite"])
def test_the_simulation_catches_tests_that_are_too_bold(rival):
    world = replace(simulation.EQUAL["seeds matter most"], seeds=2)
    assert simulation.rival_claims(simulation.RIVALS[rival], world, 200) > 10


@pytest.mark.parametrize("seeds", [2, 5])
def test_picking_the_best_of_six_equal_losses_does_not_inflate_the_error(seeds):
    world = simulation.World(losses=6, seeds=seeds, units=100, loss_unit=0, seed=0.15)
    assert simulation.false_claims(world, 200) <= 10


def test_a_gap_of_six_points_is_found_with_five_seeds():
    world = simulation.World(losses=3, seeds=5, units=400, gap=0.4)
    verdicts = list(simulation.verdicts(world, 20))
    assert sum(v.headline == "loss-0 beats every other loss." for v in verdicts) >= 16


def test_the_units_of_one_test_split_are_not_all_units():
    # many seeds and no noise at all: what is left is that other classes might favour the other loss
    rng = np.random.default_rng(0)
    suits = rng.standard_normal(30)
    suits += 0.2 - suits.mean()  # 1.1 standard errors of the units
    records = [run("a", s, suits) for s in range(20)] + [run("b", s, np.zeros(30)) for s in range(20)]
    verdict = only(judge(records, RECALL))
    assert verdict.claim == "none"
    assert verdict.sentence == "cannot tell a from b; more seeds alone will not, more test classes would"
    assert verdict.more_seeds is None


# --- the statistics ---


def test_mean_squares_are_those_of_the_analysis_of_variance():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((4, 7))
    score = Crossed.of(table)
    whole = ((table - table.mean()) ** 2).sum()
    assert score.seed_ms * 3 + score.unit_ms * 6 + score.residual_ms * 18 == pytest.approx(whole)
    assert score.seed_ms == pytest.approx(7 * table.mean(axis=1).var(ddof=1))
    assert score.unit_ms == pytest.approx(4 * table.mean(axis=0).var(ddof=1))


def test_without_differences_between_units_it_is_the_t_interval_of_the_seeds(monkeypatch):
    monkeypatch.setattr(crossed, "_CAUTION", 1)
    by_seed = np.array([0.1, 0.3, 0.2, 0.6])
    score = Crossed.of(np.repeat(by_seed[:, None], 50, axis=1))
    expected = stats.ttest_1samp(by_seed, 0)
    assert score.half_width(0.05) == pytest.approx(by_seed.mean() - expected.confidence_interval().low)
    assert score.p_value == pytest.approx(expected.pvalue)


def test_more_seeds_narrow_the_interval_as_they_should(monkeypatch):
    monkeypatch.setattr(crossed, "_CAUTION", 1)
    by_seed = np.array([0.1, 0.3, 0.2, 0.6])
    score = Crossed.of(np.repeat(by_seed[:, None], 50, axis=1))
    assert score.half_width(0.05, 9) == pytest.approx(stats.t.isf(0.025, 8) * by_seed.std(ddof=1) / 3)


def test_seeds_pay_the_wide_quantile_and_units_the_narrow_one(monkeypatch):
    monkeypatch.setattr(crossed, "_CAUTION", 1)
    rng = np.random.default_rng(0)
    table = rng.standard_normal((3, 1)) + 5 * rng.standard_normal((1, 20)) + 0.1 * rng.standard_normal((3, 20))
    seeds = stats.t.isf(0.025, 2) ** 2 * table.mean(axis=1).var(ddof=1) / 3
    units = stats.t.isf(0.025, 19) ** 2 * table.mean(axis=0).var(ddof=1) / 20
    assert Crossed.of(table).half_width(0.05) == pytest.approx(np.sqrt(seeds + units), rel=1e-2)


def test_losses_share_what_they_know_of_the_seeds():
    pairs = [Crossed.of(np.random.default_rng(i).standard_normal((5, 9))) for i in range(3)]
    pooled = pool_seeds(pairs, 3)
    mean = np.mean([p.seed_ms for p in pairs])
    assert [p.seed_ms for p in pooled] == [max(p.seed_ms, mean) for p in pairs]
    assert [p.seed_df for p in pooled] == [8, 8, 8]  # (3 - 1)(5 - 1)


def test_the_interval_leaves_0_out_exactly_at_the_p_value():
    score = Crossed.of(np.random.default_rng(1).standard_normal((4, 30)) + 0.3)
    assert score.half_width(score.p_value) == pytest.approx(abs(score.mean))
    assert 0.001 < score.p_value < 0.5


def test_holm_by_hand():
    adjusted, tested = holm(np.array([0.04, 0.001, 0.02, 0.2]), 0.05)
    assert adjusted == pytest.approx([0.08, 0.004, 0.06, 0.2])
    assert tested == pytest.approx([0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3])  # stopped at the second of four


def test_hochberg_by_hand():
    adjusted, tested = hochberg(np.array([0.04, 0.001, 0.03, 0.2]), 0.05)
    assert adjusted == pytest.approx([0.08, 0.004, 0.08, 0.2])
    assert tested == pytest.approx([0.05 / 2, 0.05 / 4, 0.05 / 3, 0.05])
    adjusted, tested = hochberg(np.array([0.04, 0.045, 0.049]), 0.05)
    assert adjusted == pytest.approx([0.049] * 3)
    assert tested == pytest.approx([0.05] * 3)


@pytest.mark.parametrize("losses", [2, 5])
def test_claims_intervals_and_p_values_agree(losses):
    for number in range(20):
        records = study(dict(zip("abcde"[:losses], np.arange(losses) * 0.006, strict=True)), rng_seed=number)
        for c in judge(records, RECALL).comparisons:
            assert (c.claim != "none") == (c.p_adjusted <= 0.05) == (c.low > 0 or c.high < 0)
            assert c.low < c.difference < c.high
            assert c.p <= c.p_adjusted


def test_the_seeds_asked_for_are_about_enough():
    # asked with 3 seeds; with that many more of the same kind, most studies decide
    decided = []
    for number in range(40):
        records = study({"a": 0.52, "b": 0.5}, seeds=40, seed_sd=0.01, rng_seed=number)
        first = only(judge([r for r in records if r.seed < 3], RECALL))
        if first.more_seeds:
            later = only(judge([r for r in records if r.seed < 3 + first.more_seeds + 2], RECALL))
            decided.append(later.claim == "a")
    assert len(decided) >= 10
    assert np.mean(decided) > 0.5


# --- what it says ---


def test_a_clear_winner():
    records = study({"supcon": 0.6, "cosface": 0.5, "triplet": 0.4})
    verdict = judge(records, RECALL)
    assert verdict.headline == "supcon beats every other loss."
    assert [s.loss for s in verdict.standings] == ["supcon", "cosface", "triplet"]
    assert [(c.a, c.b, c.claim) for c in verdict.comparisons] == [
        ("supcon", "cosface", "a"),
        ("supcon", "triplet", "a"),
        ("cosface", "triplet", "a"),
    ]
    mean = {loss: np.mean([r.units for r in records if r.loss == loss]) for loss in ("supcon", "cosface")}
    points = 100 * (mean["supcon"] - mean["cosface"])
    assert verdict.comparisons[0].sentence == f"supcon beats cosface by {points:.1f} points"
    assert verdict.standings[0].low < 0.6 < verdict.standings[0].high
    assert verdict.warnings == ()


def test_where_less_is_better_the_smaller_error_wins():
    verdict = judge(study({"huber": 0.4, "mse": 0.5}), MAE)
    assert [s.loss for s in verdict.standings] == ["huber", "mse"]
    comparison = only(verdict)
    assert (comparison.a, comparison.claim, comparison.difference < 0) == ("huber", "a", True)
    assert comparison.sentence == f"huber beats mse by {-comparison.difference:.3g}"


def test_a_tie_at_the_top_is_said():
    verdict = judge(study({"a": 0.6, "b": 0.601, "c": 0.4}), RECALL)
    assert verdict.headline in (
        "a beats c; it cannot be told from b.",
        "b beats c; it cannot be told from a.",
    )
    assert judge(study({"a": 0.6, "b": 0.601}), RECALL).headline.count("scores best, but cannot be told from") == 1


def test_the_same_runs_under_two_names_are_not_told_apart():
    records = study({"a": 0.6})
    verdict = only(judge(records + [replace(r, loss="b") for r in records], RECALL))
    assert (verdict.claim, verdict.p, verdict.difference) == ("none", 1, 0)
    assert verdict.sentence == "cannot tell a from b: they score the same"


def test_scores_that_never_vary_divide_by_nothing():
    flat = [run(loss, s, [mean] * 20) for loss, mean in (("a", 0.75), ("b", 0.5)) for s in range(3)]
    comparison = only(judge(flat, RECALL))
    assert (comparison.claim, comparison.low, comparison.high) == ("a", 0.25, 0.25)
    assert math.isfinite(comparison.p_adjusted)


def test_one_seed_allows_no_claim():
    verdict = judge(study({"a": 0.9, "b": 0.1}, seeds=1), RECALL)
    assert only(verdict).claim == "none"
    assert math.isnan(only(verdict).low)
    assert math.isnan(verdict.standings[0].low)
    assert verdict.standings[0].mean == pytest.approx(0.9, abs=0.05)
    assert verdict.warnings[0].startswith("One seed:")
    assert only(verdict).sentence == "cannot tell a from b: it takes at least 2 seeds that both have"


def test_missing_seeds_are_left_out_in_pairs_and_named():
    records = [r for r in study({"a": 0.6, "b": 0.5}) if (r.loss, r.seed) not in {("b", 1), ("b", 4)}]
    verdict = judge(records, RECALL)
    shared = [r for r in records if r.seed in (0, 2, 3)]
    assert only(verdict).difference == pytest.approx(
        np.mean([np.mean(r.units) * (1 if r.loss == "a" else -1) for r in shared]) * 2
    )
    assert verdict.warnings == ("b has 3 of 5 seeds (1 and 4 missing): it is compared on those that it has.",)


def test_losses_without_a_seed_in_common_are_not_compared():
    records = [r for r in study({"a": 0.6, "b": 0.5}, seeds=2) if (r.loss, r.seed) in {("a", 0), ("b", 1)}]
    verdict = judge(records, RECALL)
    assert verdict.comparisons == ()
    assert verdict.headline == "a scores best, but cannot be told from b."


def test_baselines_are_beaten_by_all_or_the_exceptions_are_named():
    trained = study({"supcon": 0.6, "triplet": 0.301})
    free = [*study({"untrained": 0.3}, role="baseline"), run("raw pixels", 0, [0.1] * 200, "baseline")]
    verdict = judge(trained + free, RECALL)
    assert verdict.baselines[1] == "Every trained loss beats raw pixels."
    assert verdict.baselines[0].startswith(
        "Not every trained loss is shown to beat untrained: supcon beats untrained; cannot tell triplet from"
    )
    assert verdict.headline == "supcon beats triplet."  # a baseline is no loss
    assert {(c.a, c.b) for c in verdict.comparisons} >= {("supcon", "raw pixels"), ("triplet", "untrained")}
    worse = judge(study({"a": 0.6, "b": 0.1}) + study({"untrained": 0.3}, role="baseline"), RECALL)
    assert worse.baselines == (
        "Not every trained loss is shown to beat untrained: a beats untrained; untrained beats b.",
    )


def test_two_seeds_suffice_to_see_that_all_losses_beat_the_baseline_by_far():
    losses = dict.fromkeys("abcdef", 0.6)
    verdict = judge(study(losses, seeds=2) + study({"untrained": 0.3}, seeds=2, role="baseline"), RECALL)
    assert verdict.baselines == ("Every trained loss beats untrained.",)


def test_defaults_stand_but_are_compared_only_where_nothing_was_tuned():
    defaults = study({"a": 0.5, "b": 0.4}, role="default")
    both = judge(study({"a": 0.6, "b": 0.5}) + defaults, RECALL)
    assert len(both.standings) == 4
    assert [(c.a, c.b) for c in both.comparisons] == [("a", "b")]
    assert judge(defaults, RECALL).headline == "a beats b."


def test_curves_that_were_still_rising_are_named():
    records = [replace(r, still_rising=r.loss == "b" and r.seed < 2) for r in study({"a": 0.6, "b": 0.5})]
    defaults = [replace(r, still_rising=True) for r in study({"a": 0.5}, seeds=1, role="default")]
    (warning,) = judge(records + defaults, RECALL).warnings
    assert warning.startswith("Still rising when stopped: b in 2 of 5 runs and a (default) in 1 of 1 run.")


def test_no_claim_over_a_loss_that_was_still_rising():
    records = study({"a": 0.6, "b": 0.5})
    rising = judge([replace(r, still_rising=r.loss == "b") for r in records], RECALL)
    assert rising.headline == "a scores best and is ahead of b, still rising."
    assert rising.comparisons[0].claim == "none"
    assert rising.comparisons[0].sentence.endswith("points ahead of b, which was still rising")
    # The winner's own curve takes nothing from its claim.
    ahead = judge([replace(r, still_rising=r.loss == "a") for r in records], RECALL)
    assert ahead.headline == "a beats b."


def test_records_of_different_test_sets_are_refused():
    with pytest.raises(ValueError, match=r"records: wanted the same test units in all; got \[3, 4\]"):
        judge([run("a", 0, [1, 2, 3]), run("b", 0, [1, 2, 3, 4])], RECALL)
    with pytest.raises(ValueError, match="got no records"):
        judge([], RECALL)
