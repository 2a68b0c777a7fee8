"""The benchmarks measure what they say: the same loss, promises judged by what came, and nobody silently missing."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks import __main__, exactness, page, release, results, small
from benchmarks.case import DENSE, OURS, Bar, Case, Contender, Growth, Inputs
from benchmarks.cases import cases, growths, survey, toys
from benchmarks.measure import measure, prepared

import lossary.functional


@pytest.mark.parametrize("case", toys(), ids=lambda case: case.name)
def test_lossary_and_the_dense_form_are_the_same_loss(case: Case) -> None:
    torch.manual_seed(0)
    inputs = prepared(case.inputs(), torch.float64)
    right = exactness.derivatives(case, DENSE, inputs, order=1)
    with exactness.in_blocks(5):
        found = exactness.derivatives(case, OURS, inputs, order=1)
    for got, want in zip(found, right, strict=True):
        assert exactness.deviation(got, want) < 1e-12


def test_every_case_has_a_name_of_its_own() -> None:
    names = [one.name for one in (*cases(), *growths())]
    assert len(set(names)) == len(names)


def contestants(**others) -> Case:
    x = torch.ones(3, requires_grad=True)

    def missing() -> Contender:
        raise ModuleNotFoundError("No module named 'peer'")

    def squares() -> Contender:
        return Contender(lambda: x.square().sum(), (x,))

    makers = {OURS: squares, "peer": missing, **others}
    return Case("squares", "none", lambda: Inputs(()), lambda: makers, OURS)


def test_a_peer_that_cannot_run_is_named_with_the_reason_and_the_others_are_timed() -> None:
    found = measure(contestants(), repeats=2)
    ours, peer = found["contenders"][OURS], found["contenders"]["peer"]
    assert peer["reason"] == "ModuleNotFoundError: No module named 'peer'"
    assert not peer["times_ms"]
    assert len(ours["times_ms"]) == found["rounds"] > 2  # of a case this small there are more than were asked for


def test_a_contender_that_wants_more_memory_than_there_is_does_not_start() -> None:
    def never() -> Contender:
        return Contender(lambda: pytest.fail("was started"), (), gib=1e9)

    found = measure(contestants(huge=never), repeats=1)["contenders"]
    assert "GiB" in found["huge"]["reason"]


def test_memory_is_what_was_held_at_once_and_what_was_saved() -> None:
    n = 1 << 18  # a MiB
    x = torch.ones(n, requires_grad=True)

    def two_at_once() -> torch.Tensor:
        y = x.exp()  # keeps y
        return (y + 1).sum()  # a second one, for a moment

    case = Case("two", "none", lambda: Inputs(()), lambda: {OURS: lambda: Contender(two_at_once, (x,))}, OURS)
    found = measure(case, repeats=1)["contenders"][OURS]
    assert 1.9 < found["extra_mib"] + 1 < 3.1  # the gradient, one more MiB, is not counted as extra
    assert found["saved"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("bar", "came", "met"),
    [
        (Bar("time", 0.5, ("slow", "fast")), 1.0, False),  # beside the fastest
        (Bar("time", 1.1, ("fast", "absent")), 1.0, True),
        (Bar("time", 0.5, ("absent",)), None, None),
        (Bar("minimum", 0.5, ("slow",)), 0.25, True),
        (Bar("extra", 3.0), 4.0, False),
        (Bar("saved", 1.0), 0.5, True),
    ],
)
def test_promises_are_judged_by_what_came(bar: Bar, came: float | None, met: bool | None) -> None:
    nothing = {"times_ms": [], "extra_mib": None, "saved": None, "error": None}
    contenders = {
        OURS: {"times_ms": [1.0, 2.0, 3.0], "extra_mib": 4.0, "saved": 0.5, "error": None},
        "fast": {**nothing, "times_ms": [2.0]},
        "slow": {**nothing, "times_ms": [4.0, 5.0]},
        "absent": nothing,
    }
    judged = results.kept(bar, contenders)
    assert judged["value"] == came
    assert judged["met"] is met


def test_a_ratio_is_that_of_neighbours_in_time() -> None:
    ours = {"times_ms": [1.0, 10.0, 1.0]}
    assert results.ratio(ours, {"times_ms": [2.0, 20.0, 20.0]}) == 0.5  # where the medians' would be 0.05
    assert results.ratio(ours, {"times_ms": [4.0]}) == 0.25  # a slow one, measured once
    assert results.ratio(ours, {"times_ms": []}) is None


def test_a_case_is_loud_where_the_machine_was_shared_or_slower_than_elsewhere() -> None:
    def record(share: float, product: float) -> dict[str, Any]:
        return {"threads": 2, "cpu_per_wall": share, "product_ms": product}

    cases = {"free": record(1.9, 10), "shared": record(1.5, 10), "slowed": record(1.9, 15)}
    run = {"cases": cases, "growths": {"free too": record(1.9, 11)}}
    assert results.loud(run) == ["shared", "slowed"]
    assert [r["quiet"] for r in cases.values()] == [True, False, False]


def test_exponents_are_powers_of_the_size_from_where_they_are_promised() -> None:
    def at(size: int, time: float) -> dict[str, Any]:
        return {OURS: {"times_ms": [time], "extra_mib": 2.0 * size, "saved": None, "error": None}}

    sizes = {10: at(10, 1e3), 20: at(20, 4.0), 40: at(40, 16.0), 80: at(80, 64.0)}
    growth = Growth("squares", "none", dict.fromkeys(sizes, contestants()), {"time": 2.1}, extra_mib=100, since=20)
    assert results.exponents(growth, sizes, OURS) == pytest.approx({"time": 2, "extra": 1})
    assert [bar["met"] for bar in results.kept_growth(growth, sizes)] == [True, False]


def test_a_run_of_some_cases_completes_the_newest_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only = "ready scores"
    another = {"bars": [], "cpu_per_wall": 1.0, "product_ms": 1e9, "threads": 1}
    earlier = {"cases": {"another case": another}, "growths": {}, "exactness": []}
    (tmp_path / "cpu-2026-01-02-0304.json").write_text(json.dumps(earlier))
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(__main__, "peers", lambda: {"peer": "not installed: pip was not asked"})
    monkeypatch.setattr(
        "sys.argv", ["bench", "--only", only, "--repeats", "1", "--threads", str(torch.get_num_threads())]
    )
    __main__.main()
    (path,) = tmp_path.glob("*.json")
    names = list(results.load(path)["cases"])
    assert names == ["another case", *(case.name for case in cases() if only in case.name)]


def test_the_page_shows_every_stored_case_and_every_peer() -> None:
    text = page.page()
    for run in page.newest().values():
        for name in (*run["cases"], *run["growths"], *run["peers"]):
            assert name in text


def install(monkeypatch: pytest.MonkeyPatch, where: Path) -> None:
    known = subprocess.run(["git", "cat-file", "-e", release.COMMIT], capture_output=True, check=False)
    if known.returncode != 0:
        pytest.skip("a clone without the release's commit")
    monkeypatch.setattr(release, "RELEASES", where)
    release.cases.cache_clear()
    assert release.install().name == release.PACKAGE


def test_a_release_is_measured_beside_this_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In one process: its package and its operators have another name."""
    install(monkeypatch, tmp_path)
    case = next(case for case in toys() if case.name.startswith("InfoNCE"))
    found = measure(case, repeats=1, only=lambda name: name in (OURS, release.NAME))["contenders"]
    release.cases.cache_clear()
    assert set(found) == {OURS, release.NAME}
    assert all(one["times_ms"] and not one["reason"] for one in found.values())


def test_cases_of_a_release_run_none_of_this_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small ones are made of the cases of other kinds."""
    install(monkeypatch, tmp_path)

    def this_version(*_: object, **__: object) -> None:
        raise AssertionError("of this version")

    monkeypatch.setattr(lossary.functional, "cosface_loss", this_version)
    (case,) = (case for case in survey() if case.name.startswith("CosFace"))
    found = measure(case, repeats=1, only=lambda name: name in (OURS, release.NAME))["contenders"]
    release.cases.cache_clear()
    assert found[OURS]["reason"] == "AssertionError: of this version"
    assert found[release.NAME]["times_ms"]


def test_calls_and_operators_of_a_small_batch_are_counted() -> None:
    x = torch.ones(3, requires_grad=True)

    def twice() -> torch.Tensor:
        return 2 * x

    contender = Contender(lambda: twice().sum(), (x,))
    assert small.python_calls(contender) == 2
    # product and sum; backward's first gradient, which is made and filled, the sum's and the product's
    assert small.operators(contender) == 5


def test_without_a_release_nothing_is_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(release, "RELEASES", tmp_path)
    release.cases.cache_clear()
    assert release.cases() == {}
    release.cases.cache_clear()
