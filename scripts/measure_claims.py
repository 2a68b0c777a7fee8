"""Measure the gallery's claims that take long, seed by seed; killed at any moment, the same command goes on.

python scripts/measure_claims.py --only C18
"""

import argparse
import sys

from lossary.gallery import records
from lossary.gallery.registry import chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="ids separated by commas")
    parser.add_argument("--fresh", action="store_true", help="throw away the records of these first")
    asked = parser.parse_args()
    try:
        exhibits = [exhibit for exhibit in chosen(asked.only) if exhibit.recorded]
    except LookupError as unknown:
        sys.exit(str(unknown.args[0]))
    for exhibit in exhibits:
        if asked.fresh:
            records.path_of(exhibit).unlink(missing_ok=True)
        for seed in records.measure(exhibit):
            print(f"{exhibit.id}: seed {seed} measured", flush=True)
        print(f"{exhibit.id}: {len(records.read(exhibit))} seeds on record")


if __name__ == "__main__":
    main()
