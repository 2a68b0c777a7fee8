"""How many losses in disguise `lossary.testing.identify` names: ``python scripts/identify_disguised.py``."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]

from check.disguised import DISGUISED, UNKNOWN  # noqa: E402
from check.judged import judged  # noqa: E402
from lossary.testing import identify  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="those whose name begins so")
    only = parser.parse_args().only
    counts = {"right": 0, "none": 0, "wrong": 0}
    for name, (loss, names) in DISGUISED.items():
        if name.lower().startswith(only):
            found = identify(loss)
            verdict = judged(found, names)
            counts[verdict] += 1
            print(f"{verdict}: {name}: {found.found[0] if found.found else 'none'} ({found.seconds:.0f} s)", flush=True)
    wrong = {name for name, loss in UNKNOWN.items() if name.startswith(only or "u") and identify(loss).found}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    asked = sum(name.startswith(only or "u") for name in UNKNOWN)
    print(f"{sum(counts.values())} in disguise: {told}; of {asked} unknown ones {len(wrong)} named {sorted(wrong)}")


if __name__ == "__main__":
    main()
