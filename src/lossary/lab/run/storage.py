"""Where a run stores its tuning: in its folder's SQLite file, or in a database that several machines share."""

import errno
import json
import sqlite3
import uuid
from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from lossary.lab.run.stored import Refused, read, replacing, something_else

STUDY, NAMED = "study.db", "storage.json"


@dataclass(frozen=True)
class Storage:
    """A run's folder, and where its studies are."""

    folder: Path
    url: str = ""  # of the database, if there is one; it may hold a password, and is never stored
    run: str = ""  # the run's name there

    def named(self, loss: str) -> str:
        """The name of a loss's study."""
        return f"{self.run}/{loss}" if self.url else loss

    @property
    def place(self) -> str:
        """The location that errors name."""
        return make_url(self.url).render_as_string() if self.url else str(self.folder / STUDY)


@dataclass(frozen=True)
class _Named:
    """The database's name for the run in a folder."""

    run: str


def storage_of(folder: Path, url: str = "") -> Storage:
    """Where the run in a folder stores its studies. In a database a new run gets a name, which the folder stores.

    Raises:
        Refused: if they are not where this command says, or the database cannot be reached.
    """
    named = folder / NAMED
    if not url:
        if named.exists():
            raise Refused(f"storage: the tuning of the run in {folder} is in a database; name it with --storage")
        return Storage(folder)
    if (folder / STUDY).exists() and not named.exists():
        raise Refused(f"storage: the run in {folder} keeps its tuning there; name another folder")
    url = _reached(url)
    if not named.exists():
        run = uuid.uuid4().hex
        part = folder / f"{run}.part"
        part.write_text(json.dumps({"run": run}) + "\n")
        with suppress(FileExistsError):  # the first of several machines chooses the name
            named.hardlink_to(part)
        part.unlink()
    return Storage(folder, url, read(named, _Named, "the name of a run").run)


def connected(url: str) -> Engine:
    """A database through SQLAlchemy, which replaces connections that have been cut."""
    return create_engine(url, pool_pre_ping=True)


def _reached(url: str) -> str:
    """The URL of a reachable database, with the one driver that Lossary names.

    Raises:
        Refused: saying why it cannot be reached.
    """
    try:
        parsed: URL = make_url(url)
    except ArgumentError as error:
        raise Refused("storage: wanted a URL as postgresql://user@host/database; got something else") from error
    if parsed.get_backend_name() != "postgresql":
        raise Refused(f"storage: wanted postgresql://...; got {parsed.get_backend_name()}://...")
    url = parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    try:
        engine = connected(url)
        engine.connect().close()
        engine.dispose()
    except ModuleNotFoundError as error:
        from lossary._extras import install

        raise Refused(f"storage: {error.name} is missing; {install('postgresql')}") from error
    except SQLAlchemyError as error:
        raise unreachable(url, error) from error
    return url


def unreachable(url: str, error: Exception) -> Refused:
    """Turns a database that does not answer, or not as a run's would, into an error."""
    why = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    named = make_url(url).set(drivername="postgresql").render_as_string()
    return Refused(f"storage: {named}: {why}; the same command then continues")


@contextmanager
def opened(storage: Storage, *, check: bool = False) -> Generator[optuna.storages.RDBStorage]:
    """The run's studies; ``check``: whether Optuna's version can read them, which takes half a second.

    Raises:
        OSError: if they can no longer be read or written.
        Refused: if something else is stored there.
    """
    database = optuna.storages.RDBStorage.__new__(optuna.storages.RDBStorage)
    # Workers wait for each other's writes instead of failing.
    patient = {"pool_pre_ping": True} if storage.url else {"connect_args": {"timeout": 60}}
    try:
        database.__init__(storage.url or f"sqlite:///{storage.place}", patient, skip_compatibility_check=not check)
        yield database
    except (SQLAlchemyError, OptunaError, sqlite3.Error) as error:
        if storage.url:
            raise unreachable(storage.url, error) from error
        if told := _of_the_disk(error):
            raise OSError(*told, storage.place) from error
        raise not_ours(storage, error) from error
    finally:
        # Optuna does not close its connections, not even those to a file it refuses.
        if hasattr(database, "scoped_session"):
            database.remove_session()  # a connection that is in use is not disposed of
        if hasattr(database, "engine"):
            database.engine.dispose()


def _of_the_disk(error: BaseException | None) -> tuple[int, str] | None:
    """Whether SQLite could not write, in the operating system's words. Optuna and SQLAlchemy wrap its errors."""
    while error is not None:
        cause = getattr(error, "orig", None) or error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return errno.ENOSPC, "No space left on device"
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY):
            return errno.EIO, str(cause)
        error = error.__cause__ or error.__context__
    return None


def not_ours(storage: Storage, why: Exception | str) -> Refused:
    return something_else("the tuning", storage.place, why if isinstance(why, str) else str(why).splitlines()[0])


def check_tables(storage: Storage) -> None:
    """Whether a folder's file is new or holds only Optuna's tables, with none that compute what is read from them.

    Raises:
        OSError: if it cannot be opened.
        Refused: if it holds something else.
    """
    try:
        with closing(sqlite3.connect(storage.place)) as stored:
            found = set(stored.execute("SELECT type, name FROM sqlite_master").fetchall())
    except sqlite3.DatabaseError as error:
        if told := _of_the_disk(error):
            raise OSError(*told, storage.place) from error
        raise not_ours(storage, error) from error
    computing = sorted(name for type_, name in found if type_ not in ("table", "index"))
    if computing:
        raise not_ours(storage, f"a database with views or triggers: {', '.join(computing)}")
    if found and not {("table", "studies"), ("table", "trials"), ("table", "alembic_version")} <= found:
        raise not_ours(storage, "a database of other tables")


def brought_home(storage: Storage, losses: Iterable[str]) -> None:
    """Copy a run's studies from the database into its folder, where a report looks for them."""
    if not storage.url:
        return
    with replacing(storage.folder / STUDY) as part:
        part.unlink(missing_ok=True)
        copies = f"sqlite:///{part}"
        for loss in losses:
            optuna.copy_study(
                from_study_name=storage.named(loss), from_storage=storage.url, to_storage=copies, to_study_name=loss
            )
