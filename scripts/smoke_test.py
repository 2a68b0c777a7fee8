"""What must work where the wheel is installed with torch and nothing else; see check_wheel.py."""

import copy
import importlib.util
import pickle
import subprocess
import sys
import warnings

with warnings.catch_warnings(action="ignore"):  # torch itself remarks that there is no numpy
    import torch

    torch.zeros(1)

import lossary
from lossary import functional, presets


def main() -> None:
    if importlib.util.find_spec("numpy"):
        sys.exit("this is no empty environment: numpy is here")
    public = [getattr(lossary, name) for name in dir(lossary)]
    functions = [getattr(functional, name) for name in dir(functional)]
    train()
    command_line()
    tried = f"{len(public)} names, {len(functions)} functions, {len(dir(presets))} presets, one training"
    print(f"lossary {lossary.__version__}, Python {sys.version.split()[0]}, torch {torch.__version__}: {tried}")


def train() -> None:
    torch.manual_seed(0)
    embeddings, labels = torch.randn(32, 8), torch.arange(32) % 4
    network = torch.nn.Linear(8, 8)
    loss = lossary.Sum(
        arcface=lossary.ArcFaceLoss(num_classes=4, embedding_size=8, margin=0.3, scale=16.0),
        supcon=(lossary.SupConLoss(temperature=0.2), 0.5),
    )
    loss = pickle.loads(pickle.dumps(copy.deepcopy(loss)))
    optimizer = torch.optim.Adam([*network.parameters(), *loss.parameters()], lr=0.05)
    values: list[float] = []
    for _ in range(30):
        optimizer.zero_grad()
        value = loss(network(embeddings), labels)
        value.backward()
        optimizer.step()
        values.append(value.item())
    if not values[-1] < 0.8 * values[0]:
        sys.exit(f"thirty steps on one batch took the loss from {values[0]:.3f} to {values[-1]:.3f} only")


def command_line() -> None:
    """Without the lab it says in one line what to install."""
    done = subprocess.run([sys.executable, "-m", "lossary", "list"], capture_output=True, text=True, check=False)
    if done.returncode != 2 or "lossary[lab]" not in done.stderr or len(done.stderr.strip().splitlines()) != 1:
        sys.exit(f"the command without the lab ended with {done.returncode}: {done.stderr}")


if __name__ == "__main__":
    main()
