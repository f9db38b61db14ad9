"""One schema per feature of PostgreSQL that a seeder has to cope with: (id, DDL, table, rows expected of 20)."""

from __future__ import annotations

FEATURES: list[tuple[str, str, str, int]] = [
    ("range-check", "CREATE TABLE t (id int PRIMARY KEY, age int CHECK (age >= 18 AND age < 21))", "t", 20),
    (
        "numeric-limits",
        "CREATE TABLE t (rate numeric(3,2) NOT NULL CHECK (rate BETWEEN 0 AND 1), n numeric(2,0))",
        "t",
        20,
    ),
    ("regex-check", "CREATE TABLE t (sku text NOT NULL UNIQUE CHECK (sku ~ '^[A-Z]{3}-[0-9]{4}$'))", "t", 20),
    ("similar-to", "CREATE TABLE t (slug text NOT NULL CHECK (slug SIMILAR TO '[a-z]+(-[a-z]+)*'))", "t", 20),
    (
        "like-check",
        "CREATE TABLE t (mail text NOT NULL CHECK (mail LIKE '%_@_%._%'), x text CHECK (x LIKE 'ab_d%'))",
        "t",
        20,
    ),
    (
        "length-check",
        "CREATE TABLE t (tok text NOT NULL UNIQUE CHECK (length(tok) = 32), c char(3) CHECK (length(c) = 3))",
        "t",
        20,
    ),
    ("bytes-length", "CREATE TABLE t (digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 20))", "t", 20),
    (
        "two-columns",
        "CREATE TABLE t (starts timestamptz NOT NULL, ends timestamptz NOT NULL, CHECK (ends > starts))",
        "t",
        20,
    ),
    ("exactly-one", "CREATE TABLE t (a int, b int, CHECK (num_nonnulls(a, b) = 1))", "t", 20),
    (
        "conditional",
        "CREATE TABLE t (kind text NOT NULL CHECK (kind IN ('card', 'bank')), card text, iban text,"
        " CHECK ((kind = 'card') = (card IS NOT NULL)), CHECK (kind <> 'bank' OR iban IS NOT NULL))",
        "t",
        20,
    ),
    ("sum", "CREATE TABLE t (a int NOT NULL, b int NOT NULL, total int NOT NULL, CHECK (total = a + b))", "t", 20),
    ("json-object", "CREATE TABLE t (j jsonb NOT NULL CHECK (jsonb_typeof(j) = 'object' AND j ? 'type'))", "t", 20),
    (
        "json-mirrors-key",
        "CREATE TABLE p (id text PRIMARY KEY); CREATE TABLE t (p_id text NOT NULL REFERENCES p, data jsonb NOT NULL,"
        " CHECK (p_id = data ->> 'p_id'))",
        "t",
        20,
    ),
    ("array-check", "CREATE TABLE t (tags text[] NOT NULL CHECK (cardinality(tags) BETWEEN 2 AND 3))", "t", 20),
    (
        "lower-upper",
        "CREATE TABLE t (lo text NOT NULL CHECK (lo = lower(lo)), name text CHECK (name = upper(name)))",
        "t",
        20,
    ),
    ("not-blank", "CREATE TABLE t (name text NOT NULL CHECK (btrim(name) <> ''))", "t", 20),
    (
        "function-check",
        "CREATE FUNCTION even(i int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT i % 2 = 0';"
        " CREATE TABLE t (n int NOT NULL CHECK (even(n)))",
        "t",
        20,
    ),
    (
        "domains",
        "CREATE DOMAIN zip AS text CHECK (VALUE ~ '^[0-9]{5}$'); CREATE DOMAIN pos AS int CHECK (VALUE > 0);"
        " CREATE DOMAIN small AS pos CHECK (VALUE < 50); CREATE TABLE t (z zip NOT NULL, s small NOT NULL, a pos[])",
        "t",
        20,
    ),
    (
        "enum",
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id int PRIMARY KEY, m mood NOT NULL, ms mood[])",
        "t",
        20,
    ),
    ("enum-key", "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (m mood PRIMARY KEY)", "t", 2),
    ("one-row", "CREATE TABLE t (id bool PRIMARY KEY DEFAULT true CHECK (id), v text)", "t", 1),
    ("composite", "CREATE TYPE addr AS (street text, zip varchar(10)); CREATE TABLE t (a addr NOT NULL)", "t", 20),
    (
        "self-reference",
        "CREATE TABLE t (id serial PRIMARY KEY, parent_id int REFERENCES t, CHECK (parent_id <> id))",
        "t",
        20,
    ),
    ("self-not-null", "CREATE TABLE t (id int PRIMARY KEY, parent_id int NOT NULL REFERENCES t)", "t", 20),
    (
        "nullable-cycle",
        "CREATE TABLE t (id serial PRIMARY KEY, b_id int); CREATE TABLE b (id serial PRIMARY KEY, t_id int NOT NULL"
        " REFERENCES t); ALTER TABLE t ADD FOREIGN KEY (b_id) REFERENCES b",
        "t",
        20,
    ),
    (
        "not-null-cycle",
        "CREATE TABLE t (id serial PRIMARY KEY, b_id int NOT NULL); CREATE TABLE b (id serial PRIMARY KEY, t_id int"
        " NOT NULL REFERENCES t); ALTER TABLE t ADD FOREIGN KEY (b_id) REFERENCES b",
        "t",
        20,
    ),
    (
        "composite-key",
        "CREATE TABLE org (id serial PRIMARY KEY); CREATE TABLE member (org_id int REFERENCES org, id int,"
        " PRIMARY KEY (org_id, id)); CREATE TABLE t (org_id int NOT NULL REFERENCES org, owner int NOT NULL, approver int,"
        " FOREIGN KEY (org_id, owner) REFERENCES member (org_id, id),"
        " FOREIGN KEY (org_id, approver) REFERENCES member (org_id, id))",
        "t",
        20,
    ),
    (
        "junction",
        "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE b (id serial PRIMARY KEY);"
        " CREATE TABLE t (a_id int REFERENCES a, b_id int REFERENCES b, PRIMARY KEY (a_id, b_id))",
        "t",
        20,
    ),
    ("one-to-one", "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY REFERENCES a)", "t", 20),
    (
        "either-key",
        "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE b (id serial PRIMARY KEY); CREATE TABLE t"
        " (kind text NOT NULL, a_id int REFERENCES a, b_id int REFERENCES b,"
        " CHECK ((kind = 'a' AND a_id IS NOT NULL AND b_id IS NULL) OR (kind = 'b' AND b_id IS NOT NULL AND a_id IS NULL)))",
        "t",
        20,
    ),
    (
        "partial-unique",
        "CREATE TABLE t (owner int NOT NULL, main bool NOT NULL, email text NOT NULL, deleted_at timestamptz);"
        " CREATE UNIQUE INDEX ON t (owner) WHERE main; CREATE UNIQUE INDEX ON t (lower(email)) WHERE deleted_at IS NULL",
        "t",
        20,
    ),
    (
        "short-unique",
        "CREATE TABLE t (v varchar(3) PRIMARY KEY, c char(2) NOT NULL UNIQUE, n numeric(2,0) UNIQUE)",
        "t",
        20,
    ),
    ("nulls-not-distinct", "CREATE TABLE t (a int, b text, UNIQUE NULLS NOT DISTINCT (a, b))", "t", 20),
    ("deferrable-unique", "CREATE TABLE t (pos int NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED)", "t", 20),
    (
        "generated",
        "CREATE TABLE t (w int NOT NULL, area int GENERATED ALWAYS AS (w * 2) STORED CHECK (area > 10))",
        "t",
        20,
    ),
    ("always-identity", "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)", "t", 20),
    (
        "list-partitions",
        "CREATE TABLE t (id int, r text) PARTITION BY LIST (r); CREATE TABLE t1 PARTITION OF t FOR"
        " VALUES IN ('de', 'fr')",
        "t",
        20,
    ),
    (
        "hash-partitions",
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY HASH (id);"
        " CREATE TABLE t1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "t",
        20,
    ),
    (
        "sub-partitions",
        "CREATE TABLE t (d date NOT NULL, r text NOT NULL) PARTITION BY RANGE (d); CREATE TABLE t1 PARTITION OF t"
        " FOR VALUES FROM ('2019-01-01') TO ('2020-01-01') PARTITION BY LIST (r);"
        " CREATE TABLE t2 PARTITION OF t1 FOR VALUES IN ('x')",
        "t",
        20,
    ),
    (
        "inherits",
        "CREATE TABLE t (id serial PRIMARY KEY, v int CHECK (v < 100)); CREATE TABLE u (e text) INHERITS (t)",
        "u",
        20,
    ),
    (
        "exclusion",
        "CREATE TABLE t (r int4range NOT NULL, EXCLUDE USING gist (r WITH &&), CHECK (NOT isempty(r)))",
        "t",
        20,
    ),
    (
        "trigger-rewrites",
        "CREATE TABLE t (id serial PRIMARY KEY, name text NOT NULL, slug text NOT NULL UNIQUE);"
        " CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN NEW.slug := lower(NEW.name) || NEW.id; RETURN NEW; END$$;"
        " CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();"
        " CREATE TABLE u (slug text NOT NULL REFERENCES t (slug))",
        "u",
        20,
    ),
    (
        "row-security",
        "CREATE TABLE t (v text); ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY",
        "t",
        20,
    ),
    (
        "odd-names",
        'CREATE TABLE "Odd ""T" ("select" text NOT NULL, "UP per" text CHECK ("UP per" = upper("UP per")))',
        '"Odd ""T"',
        20,
    ),
    ("no-columns", "CREATE TABLE t ()", "t", 20),
    (
        "timestamps-check",
        "CREATE TABLE t (b date CHECK (b < '2010-01-01'), y smallint CHECK (y BETWEEN 1990 AND 2030))",
        "t",
        20,
    ),
    (
        "types",
        "CREATE TABLE t (a inet NOT NULL, b cidr NOT NULL, c macaddr NOT NULL, d uuid NOT NULL, e bytea NOT NULL,"
        " f tsvector NOT NULL, h bit(5) NOT NULL, i varbit(9) NOT NULL, j money NOT NULL, k interval NOT NULL,"
        " l point NOT NULL, m polygon NOT NULL, n box NOT NULL, o path NOT NULL, p circle NOT NULL, q lseg NOT NULL,"
        " r line NOT NULL, s int4multirange NOT NULL, u daterange NOT NULL, v timetz NOT NULL, w time NOT NULL,"
        ' x json NOT NULL, y jsonb NOT NULL, z oid NOT NULL, aa regclass NOT NULL, ab name NOT NULL, ac "char" NOT NULL,'
        " ad text[] NOT NULL, ae int[][] NOT NULL, af tsquery NOT NULL, ag pg_lsn NOT NULL, ah macaddr8 NOT NULL,"
        " ai jsonpath NOT NULL, aj float8 NOT NULL, ak float4 NOT NULL, al timestamp NOT NULL, am numrange NOT NULL,"
        " an tstzrange NOT NULL, ao smallint NOT NULL, ap bool NOT NULL, aq numeric NOT NULL, ar jsonb[] NOT NULL)",
        "t",
        20,
    ),
]
