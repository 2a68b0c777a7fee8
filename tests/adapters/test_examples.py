"""The examples of adapters in docs/examples run as they stand, and learn what they are given."""

import importlib.util
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NEEDED = {
    "huggingface_trainer": ("transformers", "accelerate"),
    "sentence_transformers_trainer": ("sentence_transformers", "datasets"),
    "lightning_training": ("lightning",),
}


def test_every_example_of_an_adapter_is_known() -> None:
    of_adapters = {path.stem for path in EXAMPLES.glob("*.py") if "lossary.adapters" in path.read_text()}
    assert of_adapters == set(NEEDED)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the libraries' own
@pytest.mark.parametrize("name", NEEDED)
def test_example_runs_and_learns(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for library in NEEDED[name]:
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / f"{name}.py"))
    accuracy = float(capsys.readouterr().out.rpartition("accuracy")[2])
    assert accuracy > 0.9
