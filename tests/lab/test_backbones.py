"""Networks of other libraries, which stand-ins play here: by name, from a file, trained or frozen."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from lossary.cli import main
from lossary.lab.data.contents import BadData
from lossary.lab.data.loading import load
from lossary.lab.run import jobs
from lossary.lab.run.entrants import entrants
from lossary.lab.run.optimizers import BACKBONE_RATE, LEARNING_RATES
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import load_all
from lossary.lab.run.train import Trainer
from lossary.lab.tasks import task_of


class Body(nn.Module):
    """Colours, and a last layer of classes or none."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.fc = nn.Linear(8, classes) if classes else nn.Identity()
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.stem(images).mean(dim=(2, 3)))


def timm_like(name: str, *, pretrained: bool, num_classes: int) -> nn.Module:
    if name != "tiny":
        raise RuntimeError(f"Unknown model ({name})")
    if pretrained:
        raise OSError("We couldn't connect\nto the hub")
    return Body(num_classes)


def torchvision_like(name: str, weights: str | None) -> nn.Module:
    assert name == "tiny"
    if weights:
        raise OSError("no route to host")
    return Body(classes=10)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(64, 12)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        return SimpleNamespace(last_hidden_state=self.words(input_ids) * attention_mask[..., None])


def tokens(texts: Iterable[str], *, padding: bool, truncation: bool, max_length: int) -> dict[str, list[list[int]]]:
    rows = [[sum(word.encode()) % 64 for word in text.split()][:max_length] for text in texts]
    longest = max(map(len, rows))
    return {
        "input_ids": [[*row, *[0] * (longest - len(row))] for row in rows],
        "attention_mask": [[1] * len(row) + [0] * (longest - len(row)) for row in rows],
    }


def from_folder(folder: str, *, local_files_only: bool) -> nn.Module:
    torch.manual_seed(int(json.loads(Path(folder, "config.json").read_text())["seed"]))
    return Encoder()


@pytest.fixture(autouse=True)
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)
    timm, vision, models, transformers = map(ModuleType, ("timm", "torchvision", "torchvision.models", "transformers"))
    vars(timm)["create_model"] = timm_like
    vars(models)["get_model"] = torchvision_like
    vars(transformers)["AutoTokenizer"] = SimpleNamespace(from_pretrained=lambda folder, local_files_only: tokens)
    vars(transformers)["AutoModel"] = SimpleNamespace(from_pretrained=from_folder)
    for module in (timm, vision, models, transformers):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def photos() -> str:
    random = np.random.default_rng(0)
    for name, colour in (("red", (200, 60, 60)), ("green", (60, 200, 60)), ("blue", (60, 60, 200))):
        for number in range(16):
            path = Path("photos", name, f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.array(colour) + random.normal(0, 40, (8, 8, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return "photos"


def mails() -> str:
    random = np.random.default_rng(0)
    words = {"spam": ["cheap", "win", "now"], "ham": ["see", "you", "there"]}
    labels = [["spam", "ham"][row % 2] for row in range(80)]
    texts = [f"{' '.join(random.choice(words[label], 6))} number {row}" for row, label in enumerate(labels)]
    pl.DataFrame({"text": texts, "label": labels}).write_csv("mails.csv")
    Path("encoder").mkdir()
    Path("encoder/config.json").write_text('{"seed": 3}')
    return "mails.csv"


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_backbone_begins_with_the_weights_of_a_file(library: str, kind: str) -> None:
    torch.manual_seed(7)
    stored = Body(10).state_dict()
    path = f"tiny.{kind}"
    if kind == "pt":
        torch.save({"state_dict": {f"module.{name}": value for name, value in stored.items()}}, path)
    else:
        save_file(stored, path)
    data = load(Plan(photos(), backbone=f"{library}:tiny", checkpoint=path))
    network = task_of("classification").network(data)
    torch.testing.assert_close(network.state_dict()["backbone.body.stem.weight"], stored["stem.weight"])
    assert network(data.test.inputs[:]).shape == (len(data.test), 32)
    assert data.fingerprint != load(Plan("photos")).fingerprint  # other weights are another run


def test_a_comparison_with_a_frozen_backbone_trains_linear_layers_on_what_it_gives() -> None:
    budget = ("--seeds", "1", "--trials", "1", "--steps", "40")
    options = ("--backbone", "timm:tiny", "--checkpoint", "none", "--frozen", "--losses", "cross_entropy,focal_loss")
    main(["compare", photos(), *options, *budget])
    scores = {(r.role, r.loss): r.metrics["accuracy"] for r in load_all(Path("lossary-runs/photos"))}
    assert scores["tuned", "cross_entropy"] > 0.8
    assert scores["baseline", "gradient boosting"] >= 0  # learners see the features too
    plan = json.loads(Path("lossary-runs/photos/plan.json").read_text())
    assert (plan["backbone"], plan["checkpoint"], plan["frozen"]) == ("timm:tiny", "none", True)
    assert "--backbone timm:tiny" in Path("lossary-runs/photos/report.html").read_text()


def test_a_trained_backbone_learns_at_a_part_of_the_rate_and_a_new_one_is_drawn_for_each_seed() -> None:
    plan = Plan(photos(), backbone="timm:tiny", checkpoint="none")
    data, rates = load(plan), LEARNING_RATES[plan.optimizer]
    entrant = entrants(("cross_entropy",), "classification")["cross_entropy"]
    first, second = (Trainer(entrant, {}, data, plan, seed) for seed in (1, 2))
    groups = first.optimizer.param_groups
    assert [group["lr"] for group in groups] == [BACKBONE_RATE * rates["lr"], rates["lr"], rates["head_lr"]]
    assert sum(len(group["params"]) for group in groups) == len([*first.learner.parameters()])
    assert not torch.equal(*(next(one.learner.network.parameters()) for one in (first, second)))


@pytest.mark.parametrize("frozen", [True, False])
def test_texts_go_through_an_encoder_and_what_is_behind_their_last_token_counts_nowhere(frozen: bool) -> None:
    data = load(Plan(mails(), backbone="transformers:encoder", frozen=frozen))
    network = task_of("classification").network(data)
    if frozen:
        assert data.train.inputs[torch.arange(3)].shape == (3, 12)
        assert isinstance(network, nn.Linear)
        return
    weighed = pl.read_csv("mails.csv").with_columns(worth=pl.int_range(80) + 1)
    weighed.write_csv("weighed.csv")
    other = load(Plan("weighed.csv", backbone="transformers:encoder", weight="worth", types="worth=skip"))
    assert other.train.weights is not None
    given = data.test.inputs[:4]
    assert given.dtype == torch.int64
    longer = torch.cat([given, given.new_full((4, 5), -1)], dim=1)
    network.eval()
    torch.testing.assert_close(network(longer), network(given))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backbone": "resnet18"}, "wanted timm:NAME, torchvision:NAME or transformers:FOLDER; got 'resnet18'"),
        ({"backbone": "timm:huge"}, r"timm:huge cannot be created here \(RuntimeError: Unknown model \(huge\)\)"),
        ({"backbone": "timm:tiny"}, "connect to the hub.*--checkpoint FILE names weights that you have"),
        ({"backbone": "torchvision:tiny"}, "no route to host.*--checkpoint none begins without"),
        ({"backbone": "timm:tiny", "checkpoint": "lost.pt"}, "lost.pt: wanted a file to read"),
        ({"backbone": "timm:tiny", "checkpoint": "other.safetensors"}, "got none for 2 of its tensors, the first stem"),
        ({"backbone": "timm:tiny", "checkpoint": "notes.pt"}, "notes.pt: wanted a file of tensors"),
        ({"backbone": "transformers:encoder"}, "backbone: wanted a column of texts for transformers"),
        ({"frozen": True}, "frozen: wanted none for the lab's own network"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_said_in_one_line(options: dict[str, Any], said: str) -> None:
    save_file({"head.weight": torch.zeros(2)}, "other.safetensors")
    Path("notes.pt").write_text("no weights")
    with pytest.raises(BadData, match=said) as refused:
        load(Plan(photos(), **options))
    assert "\n" not in str(refused.value)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("open('ran', 'w')",)


def test_a_file_of_weights_runs_no_code() -> None:
    torch.save({"state_dict": Evil()}, "evil.pt")
    with pytest.raises(BadData, match=r"evil.pt: wanted a file of tensors"):
        load(Plan(photos(), backbone="timm:tiny", checkpoint="evil.pt"))
    assert not Path("ran").exists()


def test_a_library_that_is_not_there_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BadData, match=r"backbone: timm cannot be used here \(.*\): pip install timm"):
        load(Plan(photos(), backbone="timm:tiny"))


def test_a_table_has_no_images_and_an_encoder_is_a_folder() -> None:
    with pytest.raises(BadData, match="backbone: wanted images for timm"):
        load(Plan(mails(), backbone="timm:tiny", checkpoint="none"))
    with pytest.raises(BadData, match="hf download NAME --local-dir FOLDER creates one"):
        load(Plan("mails.csv", backbone="transformers:sentence-transformers/all-MiniLM-L6-v2"))
    with pytest.raises(BadData, match="checkpoint: wanted nothing or none, because"):
        load(Plan("mails.csv", backbone="transformers:encoder", checkpoint="x.pt"))
