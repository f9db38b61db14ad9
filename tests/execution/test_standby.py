"""What replay on the replica does to a reader, as the drill sees it, under settings that are put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from pytest_pgmigrate.execution.drills._standby import Standby
from pytest_pgmigrate.execution.drills._standby_settings import standby_settings
from pytest_pgmigrate.model.cluster import Cluster


@pytest.fixture
def orders(cluster: Cluster) -> Iterator[str]:
    """A database with a logged and an unlogged table."""
    name = cluster.create_database("standby")
    with cluster.connect(name) as connection:
        connection.execute("CREATE TABLE orders (id int)")
        connection.execute("CREATE UNLOGGED TABLE cache (id int)")
    yield name
    cluster.drop_database(name)


def setting(cluster: Cluster, name: str) -> str:
    with cluster.connect(cluster.maintenance_database, replica=True) as connection:
        return str(connection.execute("SELECT current_setting(%s)", (name,)).fetchall()[0][0])


@pytest.mark.parametrize(
    ("delay", "outcome", "sqlstate"),
    [("0", "cancelled", "40001"), ("300ms", "cancelled", "40001"), ("-1", "waited", "")],
)
def test_a_lock_meets_a_reader(cluster: Cluster, orders: str, delay: str, outcome: str, sqlstate: str) -> None:
    with (
        standby_settings(cluster, {"max_standby_streaming_delay": delay}),
        closing(Standby(cluster, orders)) as standby,
        cluster.connect(orders, autocommit=False) as migration,
    ):
        assert standby.delay == delay
        assert standby.open_reader("public.orders")
        assert standby.replay() == []
        migration.execute("ALTER TABLE orders ADD COLUMN total int")
        [reader] = standby.replay()
        assert (reader.table, reader.outcome, reader.sqlstate) == ("public.orders", outcome, sqlstate)
        assert len(standby.held()) == 1
        assert standby.blocked(["public.orders"]) == ("public.orders",)
        migration.commit()
        assert standby.replay() == []
        assert standby.held() == ()
        assert standby.blocked(["public.orders"]) == ()
    assert setting(cluster, "max_standby_streaming_delay") == "30s"


def test_what_cannot_be_read_there_has_no_reader(cluster: Cluster, orders: str) -> None:
    with closing(Standby(cluster, orders)) as standby:
        assert not standby.open_reader("public.cache")
        assert standby.readers == []


def test_settings_are_put_back_when_the_block_fails(cluster: Cluster) -> None:
    def fail() -> None:
        with standby_settings(cluster, {"hot_standby_feedback": "on"}):
            assert setting(cluster, "hot_standby_feedback") == "on"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert setting(cluster, "hot_standby_feedback") == "off"
