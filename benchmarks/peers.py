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
    define_torchvision_operators()
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


def define_torchvision_operators() -> None:
    """Let torchvision from PyPI, which is built for CUDA, be imported beside torch for CPU.

    Without its compiled operators its import fails where it describes them to a compiler. No loss needs them; a
    library that imports torchvision for another purpose would fail with it.
    """
    if torch.version.cuda is not None:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(library)


_KEPT: list[torch.library.Library] = []  # an operator lives as long as its library
