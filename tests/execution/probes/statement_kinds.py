"""More than a hundred statement kinds with the locks and the work that PostgreSQL's documentation and source give them.

https://www.postgresql.org/docs/current/explicit-locking.html, https://www.postgresql.org/docs/current/sql-altertable.html
(lock levels of each form). Relations are those of ``schema.sql``, which existed before the statement; every table has 40
rows, each partition 100.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_pgmigrate.model.locks import Mode

SHORT = {
    "AS": Mode.ACCESS_SHARE,
    "RS": Mode.ROW_SHARE,
    "RX": Mode.ROW_EXCLUSIVE,
    "SUE": Mode.SHARE_UPDATE_EXCLUSIVE,
    "S": Mode.SHARE,
    "SRX": Mode.SHARE_ROW_EXCLUSIVE,
    "X": Mode.EXCLUSIVE,
    "AX": Mode.ACCESS_EXCLUSIVE,
}


@dataclass(frozen=True)
class Kind:
    """One statement. ``locks``: ``relation:mode``, with ``@source`` where it was not read from pg_locks before COMMIT.

    ``work``: rows by table, and relations rewritten, rebuilt, emptied or built. ``on_15``: the locks where PostgreSQL 15
    takes other ones.
    """

    sql: str
    locks: str
    work: str = ""
    stops: int = 0
    on_15: str | None = None
    fails: bool = False


# fmt: off
KINDS = (
    Kind("ALTER TABLE p ADD COLUMN x int", "p:AX"),
    Kind("ALTER TABLE p ADD COLUMN x int DEFAULT 5", "p:AX"),
    Kind("ALTER TABLE p ADD COLUMN x timestamptz DEFAULT now()", "p:AX"),
    Kind("ALTER TABLE p ADD COLUMN x int NOT NULL DEFAULT 0", "p:AX"),
    Kind(
        "ALTER TABLE p ADD COLUMN x float DEFAULT random()",
        "p:AX p_pkey:AX p_u:AX p_v:AX",
        "p:read=160 rewritten=p rebuilt=p_pkey rebuilt=p_u rebuilt=p_v",
    ),
    Kind(
        "ALTER TABLE p ADD COLUMN x bigserial",
        "p:AX p_pkey:AX p_u:AX p_v:AX",
        "p:read=160 rewritten=p rebuilt=p_pkey rebuilt=p_u rebuilt=p_v",
    ),
    Kind(
        "ALTER TABLE p ADD COLUMN x int GENERATED ALWAYS AS IDENTITY",
        "p:AX p_pkey:AX p_u:AX p_v:AX",
        "p:read=160 rewritten=p rebuilt=p_pkey rebuilt=p_u rebuilt=p_v",
    ),
    Kind(
        "ALTER TABLE p ADD COLUMN x int GENERATED ALWAYS AS (v * 2) STORED",
        "p:AX p_pkey:AX p_u:AX p_v:AX",
        "p:read=160 rewritten=p rebuilt=p_pkey rebuilt=p_u rebuilt=p_v",
    ),
    Kind("ALTER TABLE p ADD COLUMN x int UNIQUE", "p:AX", "p:read=40 built=p_x_key"),
    Kind("ALTER TABLE p ADD COLUMN x int CHECK (x > 0)", "p:AX", "p:read=40"),
    Kind("ALTER TABLE o ADD COLUMN x int REFERENCES p", "o:AX p:SRX p_pkey:AS", on_15="o:AX p:SRX"),
    Kind("ALTER TABLE p DROP COLUMN t", "p:AX"),
    Kind("ALTER TABLE p DROP COLUMN v CASCADE", "mv:AX mv_id:AX p:AX p_v:AX vw:AX"),
    Kind("ALTER TABLE p RENAME COLUMN t TO tt", "p:AX"),
    Kind("ALTER TABLE p RENAME TO pp", "p:AX"),
    Kind("ALTER TABLE p ALTER t SET DEFAULT 'x'", "p:AX"),
    Kind("ALTER TABLE p ALTER v SET NOT NULL", "p:AX", "p:read=40"),
    Kind("ALTER TABLE c ALTER id DROP DEFAULT", "c:AX"),
    Kind("ALTER TABLE p ALTER n TYPE numeric(12,2)", "p:AX"),
    Kind(
        "ALTER TABLE p ALTER n TYPE numeric(10,4)",
        "p:AX p_pkey:AX p_u:AX p_v:AX",
        "p:read=160 rewritten=p rebuilt=p_pkey rebuilt=p_u rebuilt=p_v",
    ),
    Kind("ALTER TABLE o ALTER v TYPE bigint", "o:AX o_pkey:AX", "o:read=80 rewritten=o rebuilt=o_pkey"),
    Kind("ALTER TABLE p ALTER w TYPE varchar(100)", "p:AX"),
    Kind(
        "ALTER TABLE p ALTER w TYPE varchar(40)",
        "p:AX p_pkey:AX p_u:AX p_v:AX",
        "p:read=160 rewritten=p rebuilt=p_pkey rebuilt=p_u rebuilt=p_v",
    ),
    Kind("ALTER TABLE o ALTER d TYPE timestamptz", "o:AX"),
    Kind("ALTER TABLE p ALTER t TYPE text COLLATE \"C\"", "p:AX"),
    Kind("ALTER TABLE p ALTER t SET STATISTICS 500", "p:SUE"),
    Kind("ALTER TABLE p ALTER t SET STORAGE EXTERNAL", "p:AX"),
    Kind("ALTER TABLE p SET (fillfactor = 80)", "p:SUE"),
    Kind("ALTER TABLE p SET UNLOGGED", "p:AX@wal", fails=True),
    Kind("ALTER TABLE big SET UNLOGGED", "big:AX big_pkey:AX", "big:read=80 rewritten=big rebuilt=big_pkey"),
    Kind("ALTER TABLE p OWNER TO CURRENT_USER", "p:AX"),
    Kind("ALTER TABLE p REPLICA IDENTITY FULL", "p:AX"),
    Kind("ALTER TABLE p CLUSTER ON p_v", "p:SUE p_v:SUE"),
    Kind("ALTER TABLE p ADD CONSTRAINT k CHECK (v > 0)", "p:AX", "p:read=40"),
    Kind("ALTER TABLE p ADD CONSTRAINT k CHECK (v > 0) NOT VALID", "p:AX"),
    Kind("ALTER TABLE p VALIDATE CONSTRAINT p_nv", "p:SUE", "p:read=40"),
    Kind(
        "ALTER TABLE o ADD CONSTRAINT k FOREIGN KEY (p_id) REFERENCES p (id)",
        "o:SRX o_pkey:AS p:SRX p_pkey:AS p_u:AS p_v:AS",
        "o:read=40 p:read=40",
    ),
    Kind(
        "ALTER TABLE o ADD CONSTRAINT k FOREIGN KEY (p_id) REFERENCES p (id) NOT VALID",
        "o:SRX p:SRX p_pkey:AS",
        on_15="o:SRX p:SRX",
    ),
    Kind(
        "ALTER TABLE o VALIDATE CONSTRAINT o_fk",
        "o:SUE o_pkey:AS p:RS p_pkey:AS p_u:AS p_v:AS",
        "o:read=40 p:read=40",
    ),
    Kind("ALTER TABLE o DROP CONSTRAINT o_fk", "o:AX p:AX"),
    Kind("ALTER TABLE p DROP CONSTRAINT p_nv", "p:AX"),
    Kind("ALTER TABLE o ADD CONSTRAINT k UNIQUE (v)", "o:AX", "o:read=40 built=k"),
    Kind("ALTER TABLE p ADD CONSTRAINT k UNIQUE USING INDEX p_u", "p:AX p_u:SUE"),
    Kind("ALTER TABLE par ADD PRIMARY KEY (id)", "chi:AX par:AX", "chi:read=40 par:read=80 built=par_pkey"),
    Kind("ALTER TABLE o ADD CONSTRAINT k EXCLUDE USING btree (v WITH =)", "o:AX", "o:read=80 built=k"),
    Kind("ALTER TABLE o DISABLE TRIGGER tr", "o:SRX"),
    Kind("ALTER TABLE o ENABLE ROW LEVEL SECURITY", "o:AX"),
    Kind("ALTER TABLE pt ADD COLUMN x int", "pt:AX pt1:AX pt2:AX"),
    Kind("ALTER TABLE par ADD COLUMN x int", "chi:AX par:AX"),
    Kind("ALTER TABLE pt ATTACH PARTITION loose FOR VALUES FROM (200) TO (300)", "loose:AX pt:SUE"),
    Kind("ALTER TABLE pt DETACH PARTITION pt1", "pt:AX pt1:AX"),
    Kind("ALTER TABLE pt DETACH PARTITION pt1 CONCURRENTLY", "pt:SUE@commit pt1:AX@commit", stops=2),
    Kind("ALTER TABLE loose INHERIT par", "loose:AX par:SUE"),
    Kind("ALTER INDEX p_v RENAME TO p_vv", "p_v:SUE"),
    Kind("ALTER INDEX p_v SET (fillfactor = 70)", "p_v:SUE"),
    Kind("ALTER DOMAIN dom ADD CHECK (VALUE > 0)", "dt:S", "dt:read=40"),
    Kind("ALTER VIEW vw RENAME TO vw2", "vw:AX"),
    Kind("CREATE INDEX x ON p (t)", "p:S", "p:read=40 built=x"),
    Kind("CREATE UNIQUE INDEX x ON p (id, v)", "p:S", "p:read=40 built=x"),
    Kind("CREATE INDEX CONCURRENTLY x ON p (t)", "p:SUE@commit", "p:read=80 built=x", stops=3),
    Kind(
        "CREATE INDEX x ON pt (v)",
        "pt:S pt1:S pt2:S",
        "pt1:read=100 pt2:read=100 built=pt1_v_idx built=pt2_v_idx built=x",
    ),
    Kind("CREATE INDEX x ON ONLY pt (v)", "pt:S", "built=x"),
    Kind("DROP INDEX p_v", "p:AX p_v:AX"),
    Kind("DROP INDEX CONCURRENTLY p_v", "p:SUE@commit p_v:AX@commit", stops=3),
    Kind("REINDEX INDEX p_v", "p:S p_v:AX", "p:read=40 rebuilt=p_v"),
    Kind("REINDEX TABLE p", "p:S p_pkey:AX p_u:AX p_v:AX", "p:read=120 rebuilt=p_pkey rebuilt=p_u rebuilt=p_v"),
    Kind("REINDEX INDEX CONCURRENTLY p_v", "p:SUE@commit p_v:AX@commit", "p:read=80 rebuilt=p_v", stops=5),
    Kind(
        "REINDEX TABLE CONCURRENTLY p",
        "p:SUE@commit p_pkey:AX@commit p_u:AX@commit p_v:AX@commit",
        "p:read=240 rebuilt=p_pkey rebuilt=p_u rebuilt=p_v",
        stops=8,
    ),
    Kind("CLUSTER o USING o_pkey", "o:AX o_pkey:AX", "o:read=40 rewritten=o rebuilt=o_pkey"),
    Kind("VACUUM p", "p:SUE@documented"),
    Kind(
        "VACUUM FULL p",
        "p:AX@commit p_pkey:AX@commit p_u:AX@commit p_v:AX@commit",
        "p:read=160 rewritten=p rebuilt=p_pkey rebuilt=p_u rebuilt=p_v",
        stops=1,
    ),
    Kind("ANALYZE p", "p:SUE p_pkey:AS p_u:AS p_v:AS"),
    Kind("CREATE TABLE x (id int, p_id int REFERENCES p (id))", "p:SRX p_pkey:AS", on_15="p:SRX"),
    Kind("CREATE TABLE x (LIKE p INCLUDING ALL)", "p:AS"),
    Kind("CREATE TABLE x AS SELECT * FROM p", "p:AS p_pkey:AS p_u:AS p_v:AS", "p:read=40 x:inserted=40"),
    Kind("CREATE TABLE pt3 PARTITION OF pt FOR VALUES FROM (200) TO (300)", "pt:AX"),
    Kind("CREATE TABLE x () INHERITS (par)", "par:SUE"),
    Kind("DROP TABLE c", "c:AX c_pkey:AX p:AX"),
    Kind("DROP TABLE o", "o:AX o_pkey:AX p:AX"),
    Kind("DROP TABLE p CASCADE", "c:AX mv:AX mv_id:AX o:AX p:AX p_pkey:AX p_u:AX p_v:AX vw:AX"),
    Kind("DROP TABLE pt1", "pt:AX pt1:AX"),
    Kind("TRUNCATE o", "o:AX o_pkey:AX", "emptied=o"),
    Kind(
        "TRUNCATE p CASCADE",
        "c:AX c_pkey:AX o:AX o_pkey:AX p:AX p_pkey:AX p_u:AX p_v:AX",
        "emptied=c emptied=o emptied=p",
    ),
    Kind("CREATE VIEW x AS SELECT * FROM p", "p:AS"),
    Kind("CREATE OR REPLACE VIEW vw AS SELECT id, v FROM p WHERE v > 0", "p:AS vw:AX"),
    Kind("DROP VIEW vw", "vw:AX"),
    Kind("CREATE MATERIALIZED VIEW x AS SELECT * FROM p", "p:AS p_pkey:AS p_u:AS p_v:AS", "p:read=40 x:inserted=40"),
    Kind(
        "REFRESH MATERIALIZED VIEW mv",
        "mv:AX mv_id:AX p:AS p_pkey:AS p_u:AS p_v:AS",
        "mv:read=40 mv:inserted=40 p:read=40 rewritten=mv rebuilt=mv_id",
    ),
    Kind(
        "REFRESH MATERIALIZED VIEW CONCURRENTLY mv",
        "mv:X mv_id:RX p:AS p_pkey:AS p_u:AS p_v:AS",
        "mv:read=40 p:read=40",
    ),
    Kind("CREATE TRIGGER x BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION tf()", "p:SRX"),
    Kind("DROP TRIGGER tr ON o", "o:AX"),
    Kind("ALTER TRIGGER tr ON o RENAME TO tr2", "o:AX"),
    Kind("CREATE POLICY x ON p USING (true)", "p:AX"),
    Kind("DROP POLICY pol ON o", "o:AX"),
    Kind("CREATE RULE x AS ON DELETE TO p DO INSTEAD NOTHING", "p:AX"),
    Kind("CREATE STATISTICS x ON id, v FROM p", "p:SUE"),
    Kind("CREATE PUBLICATION x FOR TABLE p", "p:SUE"),
    Kind("COMMENT ON TABLE p IS 'x'", "p:SUE"),
    Kind("GRANT SELECT ON p TO PUBLIC", "p:AS", on_15=""),
    Kind("LOCK TABLE p IN SHARE MODE", "p:S"),
    Kind("INSERT INTO c VALUES (1000, 1, 1)", "c:RX c_pkey:RX@documented p:RS p_pkey:RS p_u:RS p_v:RS", "c:inserted=1"),
    Kind("UPDATE p SET t = 'y' WHERE id = 1", "p:RX p_pkey:RX p_u:RX p_v:RX", "p:updated=1"),
    Kind("DELETE FROM c WHERE id = 1", "c:RX c_pkey:RX", "c:deleted=1"),
    Kind("SELECT * FROM p FOR UPDATE", "p:RS p_pkey:RS p_u:RS p_v:RS", "p:read=40"),
    Kind(
        "DO $$ BEGIN UPDATE p SET t = 'z' WHERE id = 1; COMMIT; ALTER TABLE o ADD COLUMN q int; COMMIT; END $$",
        "o:AX@commit p:RX@commit p_pkey:RX@commit p_u:RX@commit p_v:RX@commit",
        "p:updated=1",
        stops=2,
    ),
    Kind(
        "DO $$ BEGIN BEGIN ALTER TABLE p ADD COLUMN q int; RAISE EXCEPTION 'x';"
        " EXCEPTION WHEN raise_exception THEN NULL; END; END $$",
        "p:AX@wal",
    ),
)
# fmt: on
