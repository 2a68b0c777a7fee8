"""Records: what takes long is measured once, seed by seed, and kept in a small file that the page is made from."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from lossary.gallery.exhibit import Exhibit, Results
from lossary.gallery.findings import is_statement, plain, run
from lossary.lab.run.stored import write_whole

FOLDER = Path(__file__).parent / "records"
AGAIN = FOLDER / "again"  # what all claims say with other seeds: would their verdicts return?
OTHER = 1000  # the first of these


def path_of(exhibit: Exhibit, folder: Path = FOLDER) -> Path:
    return folder / f"{exhibit.id}.json"


def read(exhibit: Exhibit, folder: Path = FOLDER) -> dict[int, Results]:
    """What has been measured, by seed."""
    path = path_of(exhibit, folder)
    if not path.exists():
        return {}
    return {int(seed): results for seed, results in json.loads(path.read_text(encoding="utf-8")).items()}


def measure(exhibit: Exhibit, folder: Path = FOLDER) -> Iterator[int]:
    """Measure the seeds that have no record; each is kept as soon as it is done, and named then."""
    known, again = read(exhibit, folder), folder == AGAIN
    for seed in range(OTHER, OTHER + max(exhibit.seeds, 1)) if again else range(exhibit.seeds):
        if seed not in known:
            found = plain(run(exhibit, seed))
            known[seed] = {name: one for name, one in found.items() if is_statement(one)} if again else found
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path_of(exhibit, folder), written(known))
            yield seed


def written(known: Mapping[int, Results]) -> str:
    """A line a result, however much it holds."""
    seeds = (
        f' "{seed}": {{\n'
        + ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in results.items())
        + "\n }"
        for seed, results in known.items()
    )
    return "{\n" + ",\n".join(seeds) + "\n}\n"
