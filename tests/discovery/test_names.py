"""The objects a statement is about and those it would make."""

from __future__ import annotations

import pytest

from pytest_pgmigrate.discovery.sql.cursor import Cursor
from pytest_pgmigrate.discovery.sql.lexer import lex
from pytest_pgmigrate.discovery.sql.names import names

# statement: (relations, creates)
CASES: dict[str, tuple[str, str]] = {
    "CREATE TABLE Users (id int)": ("users", "users"),
    'CREATE TABLE app."Users" (id int)': ("app.Users", "app.Users"),
    'CREATE TABLE "a.b" (id int)': ('"a.b"', '"a.b"'),
    "CREATE TABLE t (a int REFERENCES u, CONSTRAINT c FOREIGN KEY (a) REFERENCES s.v (x), LIKE w)": (
        "t u s.v w",
        "t t.c",
    ),
    "CREATE TABLE p PARTITION OF s.t FOR VALUES IN (1)": ("p s.t", "p"),
    "CREATE TABLE c (a int) INHERITS (a, s.b)": ("c a s.b", "c"),
    "CREATE TEMP TABLE IF NOT EXISTS t AS SELECT 1": ("t", "t"),
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY s.t USING gin (a)": ("s.t", "i"),
    "CREATE UNIQUE INDEX ON t (a)": ("t", ""),
    "CREATE OR REPLACE VIEW s.v AS SELECT * FROM t": ("", "s.v"),
    "CREATE MATERIALIZED VIEW IF NOT EXISTS m AS SELECT 1": ("", "m"),
    "CREATE OR REPLACE FUNCTION s.f(a int) RETURNS int LANGUAGE sql AS ''": ("", "s.f"),
    "CREATE TYPE e AS ENUM ('a')": ("", "e"),
    "CREATE SEQUENCE s.q": ("", "s.q"),
    "CREATE SCHEMA IF NOT EXISTS s": ("", "s"),
    "CREATE SCHEMA AUTHORIZATION r": ("", "r"),
    "CREATE EXTENSION IF NOT EXISTS citext": ("", "citext"),
    "CREATE TRIGGER g BEFORE UPDATE OF a ON s.t FOR EACH ROW EXECUTE FUNCTION f()": ("s.t", "s.t.g"),
    "CREATE POLICY p ON t USING (true)": ("t", "t.p"),
    "CREATE RULE r AS ON INSERT TO t DO NOTHING": ("t", "t.r"),
    "CREATE STATISTICS st ON a, b FROM t": ("", "st"),
    "DROP TABLE IF EXISTS a, s.b CASCADE": ("a s.b", ""),
    "DROP INDEX CONCURRENTLY IF EXISTS s.i": ("s.i", ""),
    "DROP FUNCTION f(int), g(a text)": ("f g", ""),
    "DROP TRIGGER IF EXISTS g ON t": ("t", ""),
    "ALTER TABLE IF EXISTS ONLY public.users ADD COLUMN IF NOT EXISTS phone text": (
        "public.users",
        "public.users.phone",
    ),
    "ALTER TABLE t ADD a int, ADD COLUMN b int CONSTRAINT c CHECK (b > 0) REFERENCES u": ("t u", "t.a t.b t.c"),
    "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES u (a)": ("t u", "t.c"),
    "ALTER TABLE t ADD PRIMARY KEY (a)": ("t", ""),
    "ALTER TABLE t ALTER a SET DEFAULT 1, DROP b": ("t", ""),
    "ALTER TABLE t ATTACH PARTITION s.p DEFAULT": ("t s.p", ""),
    "ALTER TABLE t RENAME a TO b": ("t", "t.b"),
    "ALTER TABLE t RENAME COLUMN a TO B": ("t", "t.b"),
    "ALTER TABLE t RENAME column TO b": ("t", "t.b"),
    "ALTER TABLE t RENAME CONSTRAINT a TO b": ("t", "t.b"),
    "ALTER TABLE s.t RENAME TO u": ("s.t", "s.u"),
    "ALTER TABLE a.t SET SCHEMA b": ("a.t", "b.t"),
    "ALTER INDEX i RENAME TO j": ("i", "j"),
    "ALTER TYPE c ADD ATTRIBUTE x int": ("c", "c.x"),
    "ALTER TYPE e ADD VALUE 'x'": ("e", ""),
    "ALTER TYPE e RENAME VALUE 'a' TO 'b'": ("e", ""),
    "ALTER DOMAIN d ADD CONSTRAINT k CHECK (VALUE > 0)": ("d", "d.k"),
    "ALTER FUNCTION s.f(int) RENAME TO g": ("s.f", "s.g"),
    "ALTER TRIGGER g ON t RENAME TO h": ("t", "t.h"),
    "ALTER SYSTEM SET work_mem = '1MB'": ("", ""),
    "INSERT INTO s.t (a) SELECT a FROM u": ("s.t", ""),
    "UPDATE ONLY t SET a = 1 FROM u": ("t", ""),
    "DELETE FROM t USING u": ("t", ""),
    "MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE": ("t", ""),
    "WITH m AS (DELETE FROM a RETURNING *), n AS NOT MATERIALIZED (SELECT 1) INSERT INTO b TABLE m": ("b a", ""),
    "SELECT * INTO UNLOGGED TABLE n FROM t": ("", "n"),
    "TRUNCATE TABLE ONLY a, s.b RESTART IDENTITY": ("a s.b", ""),
    "LOCK TABLE a, b IN SHARE MODE": ("a b", ""),
    "COPY s.t (a) FROM '/x'": ("s.t", ""),
    "VACUUM (FULL, ANALYZE) a, b": ("a b", ""),
    "ANALYZE t (a, b)": ("t", ""),
    "REINDEX TABLE CONCURRENTLY s.t": ("s.t", ""),
    "REINDEX DATABASE d": ("", ""),
    "REFRESH MATERIALIZED VIEW CONCURRENTLY m": ("m", ""),
    "CLUSTER t USING i": ("t", ""),
    "COMMENT ON COLUMN s.t.a IS 'x'": ("s.t", ""),
    "COMMENT ON CONSTRAINT c ON t IS 'x'": ("t", ""),
    "COMMENT ON TABLE t IS 'x'": ("t", ""),
    "GRANT SELECT, INSERT (a) ON TABLE t, s.u TO r, q": ("t s.u", ""),
    "REVOKE ALL ON t FROM r, q": ("t", ""),
    "GRANT SELECT ON ALL TABLES IN SCHEMA s TO r": ("", ""),
    "DO $$ BEGIN CREATE TABLE x (); END $$": ("", ""),
    "SELECT 1": ("", ""),
    "CREATE": ("", ""),
    "ALTER TABLE": ("", ""),
    "ALTER TABLE t ADD": ("t", ""),
}


@pytest.mark.parametrize("text", CASES)
def test_names(text: str) -> None:
    found = names(Cursor(text, lex(text).statements[0].tokens))
    assert (" ".join(found.relations), " ".join(found.creates)) == CASES[text]
