"""The script for a GPU runs on a CPU at tiny sizes: so it is alive when somebody has one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks import device
from benchmarks.meter.workloads import DENSE, OURS, problems

DEFAULT = "float32 products as torch's default has them, and half"
ROOT = Path(__file__).parents[1]


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int, *more: str) -> dict:
    monkeypatch.setattr(
        "sys.argv", ["device", str(part), "--device", "cpu", "--size", "tiny", "--out", str(tmp_path), *more]
    )
    device.main()
    return json.loads((tmp_path / f"device-part{part}.json").read_text())


def test_part_1_finds_losses_right_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(tmp_path, monkeypatch, 1, "--only", "cross")
    for name, result in found["every loss against itself in float64 on the CPU"].items():
        bound = 1e-5 if name.endswith("float32") else 2e-2
        assert result["value"] < bound, name
        assert max(result["gradients"]) < bound, name
    against = found["problems against dense torch in float64"]
    assert {"cross-entropy 8,192 x 10,000, float32"} < set(against)
    for name, result in against.items():
        assert max(result["gradients"]) < (1e-5 if "float32" in name else 2e-2), name
    counted = found["kernels beside the meter's count"]["cross-entropy 8,192 x 10,000, float32, dense torch"]
    assert counted["counted"] == 5  # log-softmax and the mean of it, both ways, one of them with a fill
    assert found["machine"]["torch"] == torch.__version__


def test_all_problems_are_right_at_tiny_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(tmp_path, monkeypatch, 1, "--only", "x")["problems against dense torch in float64"]
    assert len(found) > 10
    for name, result in found.items():
        assert "reason" not in result, f"{name}: {result}"
        assert max(result["value"], *result["gradients"]) < (1e-4 if "float32" in name else 3e-2), f"{name}: {result}"


def test_part_2_times_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(tmp_path, monkeypatch, 2)
    for section, least in (
        ("float32 products as torch's default has them, and half", 40),
        ("float32 products in TF32", 20),
    ):
        assert len(found[section]) > least
        assert all(result["times"] >= 3 and result["ms"] > 0 for result in found[section].values()), found[section]
    names = {name for w in problems() for name in (f"{w.name}, {program}" for program in w.programs)}
    assert set(found[DEFAULT]) == names
    assert {OURS, DENSE} == {name.rpartition(", ")[2] for name in names}


def test_a_part_stops_at_its_deadline_with_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(tmp_path, monkeypatch, 1, "--seconds", "0")
    assert found["stopped"] == "after 0 s"
    assert not any(isinstance(part, dict) and "mse_loss, float32" in part for part in found.values())


def test_it_needs_torch_and_the_standard_library_alone() -> None:
    """As on a bare machine: whatever else it imports is not there."""
    code = (
        "import sys; import benchmarks.device; "
        "top = {m.partition('.')[0] for m in sys.modules}; "
        "print(top & {'rich', 'altair', 'sklearn', 'scipy', 'optuna', 'polars', 'PIL', 'cyclopts', 'jinja2'})"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONPATH": "src"}, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "set()"
