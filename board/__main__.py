"""Run what is missing of the board: first the tables, then the lab's own data sets.

Killed at any moment, the same command goes on where it was: a table is stored whole or not at all, and a comparison of
the lab keeps each of its runs.
"""

import argparse
import sys

from board.work import do_all, parts


def main() -> int:
    parser = argparse.ArgumentParser(prog="make board", description="Run what is missing of the board.")
    parser.add_argument("--only", default="", metavar="TEXT", help="what has this in its name")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    options = parser.parse_args()
    chosen = [part for part in parts() if options.only in part.name]
    left = [part for part in chosen if not part.path.exists()]
    print(f"{len(left)} of {len(chosen)} to go", flush=True)
    try:
        return 2 if do_all(left, options.workers) else 0
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
