"""``make fuzz``: run many cases, print what became of them; exit 1 where one failed."""

import argparse
import sys
import time
from pathlib import Path

from fuzz.generate import make
from fuzz.known import explained
from fuzz.oracle import judge
from fuzz.run import State, Tally, chunks, results, unseen
from fuzz.subjects import CARDS

#: From so many cases on, an explanation that explained nothing is out of date.
LONG = 500_000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--count", type=int, help="how many cases (10,000 unless --minutes is given)")
    parser.add_argument("--minutes", type=float, help="begin no case after so many minutes")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other cases")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--only", action="append", choices=sorted(CARDS), metavar="LOSS", help="this loss; repeatable")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="state file: go on where it stopped")
    parser.add_argument("--case", action="append", metavar="LOSS:SEED", help="show one case and its verdict")
    return parser.parse_args()


def show(case_id: str) -> bool:
    """One case in full; whether it is right."""
    name, _, seed = case_id.rpartition(":")
    case = make(name, int(seed))
    reasons, faults = explained(case, judge(case).faults)
    print(f"{case.id}  {case.dtype}  {', '.join(case.notes)}\ncall: {case.call}\nleaves: {case.leaves}")
    print(*[f"explained: {reason}" for reason in reasons], *[f"FAILED: {f}" for f in faults], sep="\n")
    return not faults


def main() -> int:
    given = arguments()
    if given.case:
        return 1 if [case for case in given.case if not show(case)] else 0
    total = given.count if given.count or given.minutes else 10_000
    cards = given.only or list(CARDS)
    plan: dict[str, object] = {"seed": given.seed, "count": total, "cards": cards}
    state = State(given.resume, plan)
    by_card = {card: Tally() for card in cards}
    for key, tally in state.done.items():
        by_card[key.partition(":")[0]].add(tally)
    todo = (chunk for chunk in chunks(cards, given.seed, total) if chunk.key not in state.done)
    began, count = time.time(), 0
    deadline = began + 60 * given.minutes if given.minutes else float("inf")
    for chunk, tally in results(todo, given.jobs, deadline):
        state.finish(chunk, tally)
        by_card[chunk.card].add(tally)
        for case, faults in tally.failures.items():
            print(f"FAILED --case {case}  {faults[0]}", flush=True)
        count += chunk.size
        failed = sum(len(t.failures) for t in by_card.values())
        rate = count / (time.time() - began)
        print(f"{count:,} cases, {rate:.0f} a second, {failed} failed", file=sys.stderr, flush=True)
    return report(by_card)


def report(by_card: dict[str, Tally]) -> int:
    """The table: cases a card by what became of them. The exit code: 1 where something is wrong."""
    whole = Tally()
    columns = ("compared", "refused", "explained", "failed")
    print(f"\n{'loss':34}{'cases':>10}" + "".join(f"{c:>11}" for c in columns))
    for card, tally in by_card.items():
        whole.add(tally)
        print(f"{card:34}{tally.outcomes.total():>10,}" + "".join(f"{tally.outcomes[c]:>11,}" for c in columns))
    print(f"{'all':34}{whole.outcomes.total():>10,}" + "".join(f"{whole.outcomes[c]:>11,}" for c in columns))
    for reason, times in whole.reasons.most_common():
        print(f"explained {times:,} times: {reason}")
    stale = unseen(whole) if whole.outcomes.total() >= LONG else []
    for reason in stale:
        print(f"never happened: {reason}")
    for case, faults in whole.failures.items():
        print(f'make fuzz ARGS="--case {case}"  # {faults[0]}')
    return 1 if whole.failures or stale else 0


if __name__ == "__main__":
    sys.exit(main())
