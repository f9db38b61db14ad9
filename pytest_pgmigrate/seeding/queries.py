"""The catalog queries (PostgreSQL manual, chapter "System Catalogs"). Parameters are arrays of oids, or of names."""

from __future__ import annotations

TABLES = r"""
SELECT c.oid, n.nspname, c.relname, c.relkind::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname NOT LIKE 'pg\_%%' AND n.nspname <> 'information_schema' AND NOT n.nspname = ANY (%s::name[])
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""

FOREIGN_KEYS = """
SELECT k.conrelid, k.conname, k.confrelid,
       array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u (n, i)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i),
       array(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u (n, i)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.i)
FROM pg_constraint k
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY (%s::oid[])
ORDER BY k.conrelid, k.conname
"""

# A default that is exactly nextval('…'::regclass) draws from a sequence we can name through pg_depend.
COLUMNS = r"""
SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attidentity::text,
       a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid),
       CASE WHEN a.attidentity <> '' THEN
         (SELECT format('%%I.%%I', n.nspname, s.relname)
          FROM pg_depend p JOIN pg_class s ON s.oid = p.objid JOIN pg_namespace n ON n.oid = s.relnamespace
          WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass
            AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum AND p.deptype = 'i' AND s.relkind = 'S' LIMIT 1)
       WHEN pg_get_expr(d.adbin, d.adrelid) ~ '^nextval\(''.*''::regclass\)$' THEN
         (SELECT format('%%I.%%I', n.nspname, s.relname)
          FROM pg_depend p JOIN pg_class s ON s.oid = p.refobjid JOIN pg_namespace n ON n.oid = s.relnamespace
          WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass
            AND s.relkind = 'S' LIMIT 1) END
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY (%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

CHECKS = """
SELECT k.conrelid, k.conname,
       array(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) ORDER BY a.attnum),
       pg_get_expr(k.conbin, k.conrelid)
FROM pg_constraint k
WHERE k.contype = 'c' AND k.conrelid = ANY (%s::oid[])
ORDER BY k.conrelid, k.conname
"""

# indkey is 0 for an expression; pg_depend then names the columns the expression is about.
UNIQUES = """
SELECT i.indrelid, c.relname,
       CASE WHEN i.indexprs IS NULL
         THEN array(SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) u (n)
                    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[u.n] ORDER BY u.n)
         ELSE array(SELECT a.attname::text FROM pg_attribute a
                    WHERE a.attrelid = i.indrelid AND a.attnum IN (
                      SELECT d.refobjsubid FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0)
                    ORDER BY a.attnum) END,
       i.indpred IS NOT NULL, coalesce(k.condeferrable, false), i.indisprimary, i.indisexclusion
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
WHERE (i.indisunique OR i.indisexclusion) AND i.indrelid = ANY (%s::oid[])
ORDER BY i.indrelid, i.indisprimary DESC, c.relname
"""

# The columns of a partition key depend on their own table (deptype i), those in its expressions too.
PARTITIONS = """
SELECT r.oid,
       array(SELECT DISTINCT a.attname::text FROM pg_partition_tree(r.oid) t
             JOIN pg_partitioned_table p ON p.partrelid = t.relid
             JOIN pg_attribute b ON b.attrelid = t.relid AND (b.attnum = ANY (p.partattrs::int2[])
                  OR b.attnum IN (SELECT d.objsubid FROM pg_depend d
                                  WHERE d.classid = 'pg_class'::regclass AND d.objid = t.relid AND d.objsubid > 0
                                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.relid
                                    AND d.refobjsubid = 0 AND d.deptype = 'i'))
             JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = b.attname ORDER BY 1),
       array(SELECT pg_get_partition_constraintdef(t.relid)
             FROM pg_partition_tree(r.oid) t JOIN pg_class c ON c.oid = t.relid
             WHERE t.isleaf AND c.relkind <> 'p' ORDER BY c.relname)
FROM unnest(%s::oid[]) r (oid)
"""

TYPES = """
WITH RECURSIVE used (oid) AS (
  SELECT unnest(%s::oid[])
  UNION
  SELECT next.oid FROM used u JOIN pg_type t ON t.oid = u.oid, LATERAL (
    SELECT t.typbasetype WHERE t.typbasetype <> 0
    UNION ALL SELECT t.typelem WHERE t.typelem <> 0
    UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid
    UNION ALL SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = t.oid
    UNION ALL SELECT a.atttypid FROM pg_attribute a
      WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) next (oid)
)
SELECT t.oid, t.typname, t.typtype::text, t.typcategory::text, t.typbasetype, t.typtypmod, t.typnotnull,
       CASE t.typtype WHEN 'r' THEN (SELECT rngsubtype FROM pg_range WHERE rngtypid = t.oid)
                      WHEN 'm' THEN (SELECT rngtypid FROM pg_range WHERE rngmultitypid = t.oid)
                      ELSE CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END END,
       format_type(t.oid, -1),
       CASE WHEN t.typtype = 'e' THEN
         array(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) END,
       CASE WHEN t.typtype = 'c' THEN
         array(SELECT ARRAY[a.atttypid::int8, a.atttypmod::int8] FROM pg_attribute a
               WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) END,
       CASE WHEN t.typtype = 'd' THEN
         array(SELECT pg_get_expr(k.conbin, 0) FROM pg_constraint k
               WHERE k.contypid = t.oid AND k.contype = 'c' ORDER BY k.conname) END
FROM used u JOIN pg_type t ON t.oid = u.oid
"""

# What a column named like a reference (user_id) would refer to.
SINGLE_KEYS = """
SELECT c.oid, a.attname, a.atttypid
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
WHERE i.indisprimary AND i.indnkeyatts = 1 AND c.oid = ANY (%s::oid[])
"""
