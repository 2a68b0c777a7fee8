"""Training in Lightning's real Trainer."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lossary

lightning = pytest.importorskip("lightning")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the library's own


def _trainer() -> "lightning.Trainer":
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return lightning.Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **quiet)


def _data() -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(torch.randn(8, 4), torch.arange(8) % 3), batch_size=4)


def test_network_and_head_learn_and_losses_are_logged(tmp_path: Path) -> None:
    from lossary.adapters.lightning import Training

    head = lossary.ArcFaceLoss(num_classes=3, embedding_size=5)
    training = Training(nn.Linear(4, 5), head, lr=1e-2, loss_lr=0.1)
    before = [p.detach().clone() for p in training.parameters()]
    trainer = _trainer()
    trainer.fit(training, _data(), _data())
    assert all(not torch.equal(p, q) for p, q in zip(training.parameters(), before, strict=True))
    assert {"train_loss", "val_loss"} <= set(trainer.callback_metrics)
    assert [group["lr"] for group in trainer.optimizers[0].param_groups] == [1e-2, 0.1]
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    saved = torch.load(tmp_path / "run.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(saved["loss.weight"], head.weight)


def test_another_kind_of_batch_by_overriding_one_method() -> None:
    from lossary.adapters.lightning import Training

    class Views(Training):
        def compute_loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            return self.loss(self(batch[0]), self(batch[0] + 0.1))

    training = Views(nn.Linear(4, 5), lossary.NTXentLoss())
    before = training.network.weight.detach().clone()
    _trainer().fit(training, _data())
    assert not torch.equal(training.network.weight, before)
