"""Row counts of production: what is taken, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pgmigrate.discovery.production_rows import QUERY, read_production_rows
from pytest_pgmigrate.errors import UsageError
from pytest_pgmigrate.model.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("table,rows\npublic.users,5\n", {"public.users": 5}),
        ("users,5\nbilling.invoices, 1_000 \n\n", {"public.users": 5, "billing.invoices": 1000}),
        ("\ufefftable,rows\r\nusers,0\r\n", {"public.users": 0}),
        ('"billing.odd, name",7\n', {"billing.odd, name": 7}),
        ("", {}),
    ],
)
def test_what_is_read(tmp_path: Path, text: str, rows: dict[str, int]) -> None:
    assert read_production_rows(write(tmp_path, text)) == rows


@pytest.mark.parametrize(
    ("text", "line"), [("users,5\norders\n", 2), ("users,5\norders,many\n", 2), ("a,1\nb,2,3\n", 2), ("users\n", 1)]
)
def test_what_is_refused(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(UsageError, match=f"rows.csv:{line} is not 'table,rows'"):
        read_production_rows(write(tmp_path, text))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00users"])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "rows.csv" if content is None else write(tmp_path, content)
    with pytest.raises(UsageError, match="cannot be read"):
        read_production_rows(path)


def test_the_documented_query_makes_such_a_file(any_cluster: Cluster, tmp_path: Path) -> None:
    assert QUERY in (ROOT / "docs" / "how-to" / "row-counts-of-production.md").read_text(encoding="utf-8")
    name = any_cluster.create_database("rows")
    try:
        with any_cluster.connect(name) as connection:
            connection.execute("CREATE TABLE users AS SELECT generate_series(1, 30) id; ANALYZE users")
            connection.execute('CREATE TABLE "Odd, one" (id int)')
            with connection.cursor().copy(f"COPY ({QUERY}) TO STDOUT (FORMAT csv, HEADER)") as copy:
                text = b"".join(bytes(block) for block in copy)
    finally:
        any_cluster.drop_database(name)
    # A table never analysed has an estimate of -1, which the query turns into 0.
    assert read_production_rows(write(tmp_path, text)) == {"public.users": 30, "public.Odd, one": 0}
