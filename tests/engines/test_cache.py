"""A filled primary is kept on disk and a pair starts from it: exactly what was kept, or not at all."""

from __future__ import annotations

import fcntl
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest

from pytest_pgmigrate.engines import template
from pytest_pgmigrate.engines.accounts import Account, server_account
from pytest_pgmigrate.engines.binaries import Binaries
from pytest_pgmigrate.engines.embedded import ENGINE as EMBEDDED
from pytest_pgmigrate.engines.filled import FilledCache
from pytest_pgmigrate.engines.local import ENGINE as LOCAL
from pytest_pgmigrate.engines.pack import Packed, Packer
from pytest_pgmigrate.model.cluster import Want
from tests.fix_cluster import own_pair, silent, usable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_pgmigrate.engines.server_pair import ServerPair
    from pytest_pgmigrate.model.cluster import Engine

MOST = 1 << 30
FACTS = {"reports": [{"table": "public.ü", "asked": 1}]}

# One of each that a copy could lose: rows of every size, a sequence in the middle, large objects, what databases share.
SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, v text, big text);
ALTER TABLE t ALTER COLUMN big SET STORAGE external;
INSERT INTO t SELECT g, md5(g::text), repeat(md5(g::text), 500) FROM generate_series(1, 300) g;
UPDATE t SET v = 'late' WHERE id % 7 = 0;
CREATE SEQUENCE s;
SELECT nextval('s') FROM generate_series(1, 5);
SELECT lo_from_bytea(4242, 'large');
CREATE ROLE pgm_cache_reader NOLOGIN;
GRANT SELECT ON t TO pgm_cache_reader;
ALTER ROLE pgm_cache_reader SET search_path = 'x';
"""
LOOK = """
SELECT (SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM t), (SELECT last_value FROM s), lo_get(4242),
       has_table_privilege('pgm_cache_reader', 't', 'select'),
       (SELECT rolconfig FROM pg_roles WHERE rolname = 'pgm_cache_reader')
"""


@pytest.fixture(scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGMIGRATE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield template.cache_directory()


@pytest.fixture
def cache(_cache: Path) -> Path:
    """A cache of this module's own, without entries; the templates stay."""
    for entry in entries(_cache):
        entry.unlink()
    return _cache


@pytest.fixture(params=[EMBEDDED, LOCAL], ids=["embedded", "local"])
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    usable(chosen, Want())
    return chosen


def entries(cache: Path) -> list[Path]:
    return sorted(cache.glob("filled-*"))


def start(engine: Engine, content: str = "a", most: int = MOST, **more: Any) -> ServerPair:
    return cast("ServerPair", engine.start(Want(content=content, cache_bytes=most, **more), silent))


def fill(pair: ServerPair, schema: str = SCHEMA) -> str:
    name = pair.create_database("work")
    with pair.connect(name) as connection:
        connection.execute(schema.encode())
    return name


def look(pair: ServerPair, database: str, query: str = LOOK, *, replica: bool = False) -> tuple[Any, ...] | None:
    with pair.connect(database, replica=replica) as connection:
        return connection.execute(query.encode()).fetchone()


def kept(engine: Engine, content: str = "a", schema: str = SCHEMA, most: int = MOST) -> bool:
    """Make a pair with this content, keep it, end it."""
    with closing(start(engine, content, most)) as pair:
        return pair.remember(fill(pair, schema), FACTS)


def test_what_was_kept_is_there_again_on_both_servers(engine: Engine, cache: Path) -> None:
    with closing(start(engine)) as pair:
        assert pair.filled is None
        name = fill(pair)
        was = look(pair, name)
        assert pair.remember(name, FACTS)
        # The run that kept it goes on with its own servers.
        with pair.connect(name) as connection:
            connection.execute("INSERT INTO t VALUES (1000, 'after', '')")
        pair.wait_for_replica()
        assert look(pair, name, "SELECT count(*) FROM t", replica=True) == (301,)
    for _ in range(2):
        with closing(start(engine)) as again:
            assert again.filled is not None
            assert again.filled.facts == FACTS
            ours = again.filled.database
            assert (ours == name, ours.split("_")[1]) == (False, again.token)
            assert look(again, ours) == was
            assert look(again, ours, replica=True) == was
            with again.connect(ours) as connection:
                connection.execute("INSERT INTO t VALUES (2000, 'mine', ''); SELECT nextval('s')")
            again.wait_for_replica()
            assert look(again, ours, "SELECT count(*) FROM t WHERE id = 2000", replica=True) == (1,)
            again.drop_database(again.create_database("clone", template=ours))
            again.drop_database(ours)
    assert len(entries(cache)) == 1


def test_two_pairs_of_one_entry_do_not_meet(engine: Engine, cache: Path) -> None:
    assert kept(engine)
    with closing(start(engine)) as one, closing(start(engine)) as other:
        assert one.filled is not None
        assert other.filled is not None
        with one.connect(one.filled.database) as connection:
            connection.execute("TRUNCATE t; DROP OWNED BY pgm_cache_reader; DROP ROLE pgm_cache_reader")
        one.wait_for_replica()
        assert look(one, one.filled.database, "SELECT count(*) FROM t", replica=True) == (0,)
        assert look(other, other.filled.database, "SELECT count(*) FROM t") == (300,)


def test_something_else_is_not_taken_for_it(engine: Engine, cache: Path) -> None:
    assert kept(engine)
    other_build = LOCAL if engine is EMBEDDED else EMBEDDED
    with closing(start(engine, "b")) as pair:
        assert pair.filled is None
    with closing(start(engine, settings={"work_mem": "5MB"})) as pair:
        assert pair.filled is None
    with closing(start(engine, "")) as pair:
        assert (pair.filled, "keeps" in pair.capabilities) == (None, False)
        assert not pair.remember(fill(pair), FACTS)
    if other_build.probe(Want()).usable:
        with closing(start(other_build)) as pair:
            assert pair.filled is None
    assert len(entries(cache)) == 1


def test_an_altered_program_is_another_build(cache: Path, tmp_path: Path) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_bytes(b"")
    build = Binaries(tmp_path, "test", (18, 1))
    before = template.build_key(build, server_account(), "")
    assert template.build_key(build, server_account(), "") == before
    os.utime(tmp_path / "postgres", ns=(1, 1))
    assert template.build_key(build, server_account(), "") != before


def harm(path: Path, how: str) -> None:
    size = path.stat().st_size
    if how == "facts":
        path.write_bytes(path.read_bytes().replace(b'"asked": 1', b'"asked": 2'))
        return
    with open(path, "r+b") as file:
        if how == "emptied":
            file.truncate(0)
        elif how == "truncated":
            file.truncate(size - 100_000)
        elif how == "a few bytes long":
            file.truncate(7)
        else:
            file.seek({"one bit": size // 2, "index": size - 500, "length": size - 3}[how])
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 4]))


@pytest.mark.parametrize("how", ["one bit", "facts", "index", "length", "truncated", "emptied", "a few bytes long"])
def test_a_damaged_entry_is_removed_and_the_run_goes_on(cache: Path, how: str) -> None:
    engine = own_pair()
    if not entries(cache):
        assert kept(engine)
    harm(entries(cache)[0], how)
    with closing(start(engine)) as pair:
        assert pair.filled is None
        assert entries(cache) == []
        assert pair.remember(fill(pair), FACTS)
    with closing(start(engine)) as pair:
        assert pair.filled is not None


def test_an_entry_from_which_no_server_starts_is_removed(cache: Path, tmp_path: Path) -> None:
    engine = own_pair()
    assert kept(engine)
    (entry,) = entries(cache)
    with closing(Packed(entry)) as whole:
        whole.unpack(tmp_path / "data", Account(os.geteuid(), os.getegid(), dropped=False))
    (tmp_path / "data" / "global" / "pg_control").unlink()
    entry.unlink()
    packer = Packer(entry)
    packer.tree(tmp_path / "data")
    packer.finish(whole.facts)
    packer.close()
    with closing(start(engine)) as pair:
        assert pair.filled is None
        assert entries(cache) == []


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE UNLOGGED TABLE u (i int)",
        "ALTER SYSTEM SET work_mem = '7MB'",
        "SELECT pg_create_physical_replication_slot('pgm_slot')",
        "CREATE SUBSCRIPTION pgm_s CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false, slot_name = NONE)",
        "CREATE DATABASE pgm_other",
    ],
    ids=["unlogged", "alter system", "slot", "subscription", "database"],
)
def test_what_a_copy_would_not_bring_back_is_not_kept(cache: Path, schema: str) -> None:
    assert not kept(own_pair(), schema=schema)
    assert entries(cache) == []


def test_an_open_backup_of_a_lost_run_does_not_disturb(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(start(own_pair())) as pair:
        name = fill(pair)
        with monkeypatch.context() as patch:
            patch.setattr(Packer, "tree", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            assert not pair.remember(name, FACTS)
        assert [path for path in cache.iterdir() if not path.name.startswith("template-")] == []
        assert pair.remember(name, FACTS)


# -- what is on disk ------------------------------------------------------------------------------------------------------


def save(content: str, size: int, most: int = MOST) -> bool:
    def write(packer: Any) -> dict[str, Any]:
        packer.data("file", os.urandom(size))
        return {}

    return FilledCache(content, "build", {}, most).save(write)


def there(content: str) -> bool:
    packed = FilledCache(content, "build", {}, MOST).open()
    if packed is not None:
        packed.close()
    return packed is not None


def age(content: str, seconds: int) -> None:
    path = FilledCache(content, "build", {}, MOST).path
    moment = path.stat().st_mtime - seconds
    os.utime(path, (moment, moment))


def test_what_was_not_used_for_longest_goes_first(cache: Path) -> None:
    for number, content in enumerate(("one", "two", "three")):
        assert save(content, 100_000)
        age(content, 1000 - number)
    assert there("one")  # looked at, so used
    assert save("four", 100_000, most=310_000)
    assert [there(content) for content in ("one", "two", "three", "four")] == [True, False, True, True]
    assert sum(path.stat().st_size for path in entries(cache)) <= 310_000


def test_what_is_larger_than_all_may_be_is_not_kept(cache: Path) -> None:
    assert save("small", 10_000)
    assert not save("large", 100_000, most=50_000)
    assert (there("small"), there("large")) == (True, False)
    assert list(cache.glob("*.partial")) == []


def test_what_nobody_used_for_a_month_goes(cache: Path) -> None:
    assert save("old", 10_000)
    age("old", (template.KEPT_DAYS + 1) * 86400)
    assert save("new", 10_000)
    assert (there("old"), there("new")) == (False, True)


def test_another_writer_is_not_waited_for(cache: Path) -> None:
    path = FilledCache("busy", "build", {}, MOST).path
    descriptor = os.open(template.lock_of(path), os.O_CREAT | os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    template.partial_of(path).write_bytes(b"half")
    try:
        assert not save("busy", 1000)
        template.sweep_partial()
        assert template.partial_of(path).read_bytes() == b"half"
    finally:
        os.close(descriptor)
    # Its writer is dead now.
    template.sweep_partial()
    assert not template.partial_of(path).exists()
    assert save("busy", 1000)
    assert [p.name for p in cache.iterdir() if "filled" in p.name and p.suffix] == []


def test_a_failure_while_writing_leaves_nothing(cache: Path) -> None:
    def write(packer: Any) -> dict[str, Any]:
        packer.data("file", b"x" * 1000)
        raise psycopg.OperationalError("the server is gone")

    with pytest.raises(psycopg.OperationalError):
        FilledCache("lost", "build", {}, MOST).save(write)
    assert entries(cache) == []
