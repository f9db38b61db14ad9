"""Parameters in an application's query: found outside strings and comments, and written as the server knows them.

Lexical rules: https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
      (?P<skip> --[^\n]*                                    # comment
        | /\*.*?\*/
        | [eE]'(?:[^'\\]|''|\\.)*'                          # strings: escaped, plain, dollar-quoted
        | '(?:[^']|'')*'
        | "(?:[^"]|"")*"
        | \$(?P<tag>[A-Za-z_]\w*)?\$.*?\$(?(tag)(?P=tag))\$
        | ::                                                # a cast is no parameter
        | [A-Za-z_][\w$]*                                   # a$1 is a name
      )
      | \$(?P<number>\d+)
      | (?<![\w\]]):(?P<colon>[A-Za-z_]\w*)
      | %\((?P<percent>\w+)\)s
      | (?P<next>%s)
    """,
    re.VERBOSE | re.DOTALL,
)

_WORD = re.compile(r"::|[A-Za-z_][\w$]*")


def outside(sql: str) -> str:
    """``sql`` without its strings, quoted names and comments: what is left can be searched for words and signs."""
    return _TOKEN.sub(lambda match: match[0] if match["skip"] is None or _WORD.fullmatch(match[0]) else " ", sql)


def numbered(sql: str) -> tuple[str, int]:
    """``sql`` with ``:name``, ``%(name)s`` and ``%s`` written as ``$1``, ``$2`` …, and the highest of these numbers."""
    names: dict[str, int] = {}
    first = max((int(match["number"]) for match in _TOKEN.finditer(sql) if match["number"]), default=0)

    def write(match: re.Match[str]) -> str:
        if match["number"] or match["skip"] is not None:
            return match[0]
        name = match["colon"] or match["percent"] or f"%{len(names)}"
        return f"${names.setdefault(name, first + len(names) + 1)}"

    text = _TOKEN.sub(write, sql)
    return text, first + len(names)
