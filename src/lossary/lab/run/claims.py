"""Who does which job of a run that several machines work on.

A job is claimed by a row in a table beside the run's studies. Its holder says every few seconds that it is alive; a
claim that nobody has renewed for a while is anyone's, so that a dead machine's jobs are done by the others. All clocks
are the database's.
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

#: Seconds that a claim holds without being renewed, which is done four times as often.
LEASE = 60.0

TABLE = """
CREATE TABLE IF NOT EXISTS lossary_claims
(run text, job text, holder text, ends timestamptz, PRIMARY KEY (run, job))
"""
#: Any number will do that others do not lock.
ONE_AT_A_TIME = "SELECT pg_advisory_lock(20261130)"
#: One row comes back if the job is nobody's, or was of a machine that has died. One that is done ends never.
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
    """What a machine may do of a run."""

    def take(self, job: str, /) -> bool: ...

    def finish(self, job: str, /) -> None: ...

    def give_back(self, job: str, /) -> None: ...

    def one_at_a_time(self) -> AbstractContextManager[Any]: ...


class Alone:
    """One machine does all."""

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
        """Whether the job is this process's now: it was nobody's, or its holder has died."""
        return self.say(TAKE, job=job) == 1

    def finish(self, job: str, /) -> None:
        """Nobody need do the job any more."""
        self.say(FINISH, job=job)

    def give_back(self, job: str, /) -> None:
        self.say(GIVE_BACK, job=job)

    @contextmanager
    def one_at_a_time(self) -> Generator[None]:
        """For what only one machine may do at a time."""
        with self.engine.connect() as connection:
            connection.execute(text(ONE_AT_A_TIME))  # until it is closed
            yield
            connection.invalidate()

    def renew_until(self, ended: threading.Event) -> None:
        while not ended.wait(self.lease / 4):
            try:
                self.say(RENEW)
            except Exception:  # noqa: BLE001  # as long as the database is away; what cannot go on says so itself
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
    """Claims for as long as this process is at work; what it then holds it gives back."""
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
        mine.say(LEAVE)
        engine.dispose()
