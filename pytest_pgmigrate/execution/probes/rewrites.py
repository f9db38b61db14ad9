"""Tables and indexes that got a new file: rewritten, rebuilt, emptied; and indexes built on tables that were there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_pgmigrate.execution.probes._base import Probe

if TYPE_CHECKING:
    from pytest_pgmigrate.execution.look import Look
    from pytest_pgmigrate.model.watch import Relation

# These give a table a new file because they copy it; anything else that does so without reading a row has emptied it.
_COPY = ("ALTER ", "VACUUM", "cluster_stmt", "REFRESH ", "SET SCHEMA", "do_stmt", "call_stmt", "select_stmt")


class RewritesProbe(Probe):
    """Compares ``relfilenode`` before and after each statement."""

    name = "rewrites"

    def after_statement(self, look: Look) -> Mapping[str, object]:
        """``rewritten``, ``rebuilt``, ``emptied`` and ``built``."""
        found: dict[str, list[Relation]] = {"rewritten": [], "rebuilt": [], "emptied": [], "built": []}
        made = set()
        # A type change that needs no new index makes another one over the old one's file.
        kept = {old for old, new in look.files.values() if old and not new}
        for oid, (old, new) in look.files.items():
            if not new or new == old:
                continue
            relation = look.relations.get(oid)
            if relation is None:
                continue
            if relation.new:
                if not old and new not in kept:
                    made.add(oid)
            elif relation.kind == "index":
                found["rebuilt"].append(relation)
            elif relation.holds_rows:
                found[_word(look, oid)].append(relation)
        # REINDEX CONCURRENTLY builds another index under the old one's name.
        word = "rebuilt" if look.statement.kind.startswith("REINDEX") else "built"
        found[word] += [r for r in _made(look, made) if r.kind in ("index", "partitioned index")]
        emptied = {relation.name for relation in found["emptied"]}
        found["rebuilt"] = [
            r for r in found["rebuilt"] if r.table not in emptied and not r.name.startswith("pg_toast.")
        ]
        return {name: tuple(sorted(items, key=lambda r: r.name)) for name, items in found.items()}


def _word(look: Look, oid: int) -> str:
    if look.statement.kind == "truncate_stmt":
        return "emptied"
    read = look.counts.get(oid, (0,))[0]
    return "rewritten" if read or look.statement.kind.startswith(_COPY) else "emptied"


def _made(look: Look, oids: set[int]) -> list[Relation]:
    """New relations, of tables that are not new themselves. A partitioned index has no file."""
    known = [r for oid in look.files if (r := look.relations.get(oid)) is not None]
    tables = {r.name for r in known if not r.new and r.holds_rows}
    candidates = oids | {oid for oid, (_, new) in look.files.items() if not new and oid in look.locks}
    found = [r for oid in candidates if (r := look.relations.get(oid)) is not None]
    return [r for r in found if r.new and r.table in tables and r.table != r.name]


PROBE = RewritesProbe
