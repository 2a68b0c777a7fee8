"""Which machine does which job of a shared run.

A job is claimed by a row in a table next to the run's studies. Its holder renews the claim every few seconds. A claim
that has not been renewed for a while may be taken by anyone, so a dead machine's jobs are done by the others. All
clocks are the database's.
"""

import os
import platform
import threading
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from lossary.lab.run.storage import Storage, connected, unreachable

#: Seconds for which a claim holds without renewal; it is renewed four times as often.
LEASE = 60.0

TABLE = """
CREATE TABLE IF NOT EXISTS lossary_claims
(run text, job text, holder text, ends timestamptz, PRIMARY KEY (run, job))
"""
#: Any number works, as long as nobody else locks it.
ONE_AT_A_TIME = "SELECT pg_advisory_lock(20261130)"
#: Returns one row if the job belongs to nobody or to a machine that has died. A finished job's claim never expires.
TAKE = """
INSERT INTO lossary_claims VALUES (:run, :job, :holder, clock_timestamp() + make_interval(secs => :lease))
ON CONFLICT (run, job) DO UPDATE SET holder = excluded.holder, ends = excluded.ends
WHERE lossary_claims.ends < clock_timestamp() RETURNING job
"""
RENEW = """
UPDATE lossary_claims SET ends = clock_timestamp() + make_interval(secs => :lease)
WHERE run = :run AND holder = :holder AND ends < 'infinity'
"""
FINISH = "UPDATE lossary_claims SET ends = 'infinity' WHERE run = :run AND job = :job AND holder = :holder"
GIVE_BACK = "DELETE FROM lossary_claims WHERE run = :run AND job = :job AND holder = :holder"
LEAVE = "DELETE FROM lossary_claims WHERE run = :run AND holder = :holder AND ends < 'infinity'"


class Claims(Protocol):
    """Which parts of a run a machine may do."""

    def take(self, job: str, /) -> bool: ...

    def finish(self, job: str, /) -> None: ...

    def give_back(self, job: str, /) -> None: ...

    def one_at_a_time(self) -> AbstractContextManager[Any]: ...


class Alone:
    """One machine does everything."""

    def take(self, job: str, /) -> bool:
        return True

    def finish(self, job: str, /) -> None: ...

    def give_back(self, job: str, /) -> None: ...

    def one_at_a_time(self) -> AbstractContextManager[Any]:
        return nullcontext()


class Shared:
    """Claims of this process in a run's database."""

    def __init__(self, engine: Engine, storage: Storage, lease: float) -> None:
        self.engine, self.storage, self.lease = engine, storage, lease
        holder = f"{platform.node()}-{os.getpid()}"
        self.given = {"run": storage.run, "holder": holder, "lease": lease}

    def take(self, job: str, /) -> bool:
        """Whether the job now belongs to this process: it was free, or its holder has died."""
        return self.say(TAKE, job=job) == 1

    def finish(self, job: str, /) -> None:
        """Mark the job as done, so nobody needs to do it any more."""
        self.say(FINISH, job=job)

    def give_back(self, job: str, /) -> None:
        self.say(GIVE_BACK, job=job)

    @contextmanager
    def one_at_a_time(self) -> Generator[None]:
        """For work that only one machine may do at a time."""
        with self.engine.connect() as connection:
            connection.execute(text(ONE_AT_A_TIME))  # until it is closed
            yield
            connection.invalidate()

    def renew_until(self, ended: threading.Event) -> None:
        while not ended.wait(self.lease / 4):
            try:
                self.say(RENEW)
            except Exception:  # noqa: BLE001  # the database is away; a permanent failure is reported elsewhere
                continue

    def say(self, statement: str, **given: Any) -> int:
        """How many rows a statement has changed.

        Raises:
            Refused: if the database cannot be reached.
        """
        try:
            with self.engine.begin() as connection:
                return connection.execute(text(statement), self.given | given).rowcount
        except SQLAlchemyError as error:
            raise unreachable(self.storage.url, error) from error


@contextmanager
def claims_of(storage: Storage) -> Generator[Claims]:
    """Claims while this process works; at the end it releases what it holds."""
    if not storage.url:
        yield Alone()
        return
    engine = connected(storage.url)
    mine, ended = Shared(engine, storage, LEASE), threading.Event()
    alive = threading.Thread(target=mine.renew_until, args=(ended,), daemon=True)
    try:
        with mine.one_at_a_time():
            mine.say(TABLE)
        alive.start()
        yield mine
    finally:
        ended.set()
        if alive.is_alive():
            alive.join()  # a connection in use is not closed with the others
        mine.say(LEAVE)
        engine.dispose()
