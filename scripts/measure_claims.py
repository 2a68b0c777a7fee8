"""Measure the gallery's claims that take long, seed by seed; killed at any moment, the same command goes on.

python scripts/measure_claims.py --only C18
python scripts/measure_claims.py --again     every claim with other seeds: does its verdict return?
"""

import argparse
import sys

from lossary.gallery import records
from lossary.gallery.registry import chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="ids separated by commas")
    parser.add_argument("--fresh", action="store_true", help="throw away the records of these first")
    parser.add_argument("--again", action="store_true", help="with other seeds, and also what takes no time")
    asked = parser.parse_args()
    try:
        exhibits = [one for one in chosen(asked.only) if (one.family == "C" if asked.again else one.recorded)]
    except LookupError as unknown:
        sys.exit(str(unknown.args[0]))
    folder = records.AGAIN if asked.again else records.FOLDER
    for exhibit in exhibits:
        if asked.fresh:
            records.path_of(exhibit, folder).unlink(missing_ok=True)
        for seed in records.measure(exhibit, folder):
            print(f"{exhibit.id}: seed {seed} measured", flush=True)
        print(f"{exhibit.id}: {len(records.read(exhibit, folder))} seeds on record")


if __name__ == "__main__":
    main()
