"""An earlier release of Lossary, measured beside this one in the same process: its source under another name.

``python -m benchmarks.release`` puts it into benchmarks/.releases, as ``make bench`` does; without it there is no such
contender.
"""

import functools
import importlib
import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from benchmarks.case import OURS, Case, Contender, Inputs, Maker

HERE = Path(__file__).parent
RELEASES, KINDS = HERE / ".releases", HERE / "cases"
#: The last commit of the release, its package, and what it is called among the contenders.
COMMIT, PACKAGE, NAME = "5ed527ff8e24", "lossary_0_1", "Lossary 0.1"


def install() -> Path:
    """The release's package from this repository's history; operators that it registers have its name too."""
    command = ["git", "archive", COMMIT, "src/lossary"]
    found = subprocess.run(command, cwd=HERE.parent, capture_output=True, check=False)
    if found.returncode != 0:
        sys.exit(f"{' '.join(command)}: {found.stderr.decode().strip()}; a shallow clone wants git fetch --unshallow")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            path = RELEASES / PACKAGE / Path(member.name).relative_to("src/lossary")
            path.parent.mkdir(parents=True, exist_ok=True)
            content = file.read()
            path.write_bytes(renamed(content.decode()).encode() if path.suffix == ".py" else content)
    return RELEASES / PACKAGE


def renamed(source: str) -> str:
    """Source that means the release where it says lossary."""
    return re.sub(r"\blossary\b", PACKAGE, source)


def makers(case: Case, inputs: Inputs) -> dict[str, Maker]:
    """The release as a contender, where it is installed and knows the case; what it lacks is a reason."""
    earlier = cases().get(case.name)
    if earlier is None:
        return {}

    def maker() -> Contender:
        return earlier.contenders(*inputs.learns, *inputs.given)[OURS]()

    return {NAME: maker}


@functools.cache
def cases() -> dict[str, Case]:
    """The cases by name, with the release's losses in the place of ours."""
    if not (RELEASES / PACKAGE).exists():
        return {}
    sys.path.append(str(RELEASES))
    kinds = _renamed_kinds()
    return {case.name: case for case in (*kinds.toys(), *kinds.cases(), *kinds.survey())}


def _renamed_kinds() -> Any:
    """All kinds of cases as a package of the release's: a case may use another kind's, which must be of it as well."""
    package = f"{PACKAGE}_cases"
    (RELEASES / package).mkdir(exist_ok=True)
    for path in KINDS.glob("*.py"):
        source = renamed(path.read_text()).replace("benchmarks.cases", package)
        (RELEASES / package / path.name).write_text(source)
    importlib.invalidate_caches()
    return importlib.import_module(package)


if __name__ == "__main__":
    print(f"{NAME}: {install()}")
