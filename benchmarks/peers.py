"""The libraries beside which Lossary is measured: what is there, in which version, and why the others are not."""

import importlib
import sys
from importlib import metadata
from pathlib import Path

import torch

REQUIREMENTS = Path(__file__).parent / "peers.txt"
#: What to import where it is not the distribution's name.
MODULES = {"liger-kernel": "liger_kernel.transformers", "segmentation-models-pytorch": "segmentation_models_pytorch"}


def peers() -> dict[str, str]:
    """Each peer's version, and the reason where it cannot be imported."""
    make_torchvision_importable()
    lines = (line.strip() for line in REQUIREMENTS.read_text().splitlines())
    return {line.split("==")[0]: state(line) for line in lines if line and not line.startswith("#")}


def state(requirement: str) -> str:
    name = requirement.split("==", maxsplit=1)[0]
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"not installed: {reason(requirement)}"
    try:
        importlib.import_module(MODULES.get(name, name.replace("-", "_")))
    except Exception as error:  # noqa: BLE001
        return f"{version}, cannot be imported: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return version


def reason(requirement: str) -> str:
    """What pip said last when `make bench` tried to install it."""
    log = Path(sys.prefix) / f"{requirement}.log"
    errors = [line for line in log.read_text().splitlines() if line.startswith("ERROR")] if log.exists() else []
    return errors[-1].removeprefix("ERROR: ") if errors else "pip was not asked"


def make_torchvision_importable() -> None:
    """Let torchvision from PyPI, which is built for CUDA, be imported beside torch for CPU.

    Without its compiled operators its import fails where it describes two of them to a compiler. No loss needs them,
    and libraries that import torchvision for another purpose fail with it.
    """
    try:
        import torchvision  # noqa: F401
    except ImportError:
        return
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


#: Operators live as long as their library.
OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
