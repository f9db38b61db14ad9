"""Makes rows meet CHECK constraints: tries candidate values until PostgreSQL accepts the row."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_pgmigrate.seeding.candidates import CandidateMaker
from pytest_pgmigrate.seeding.draw import Stream
from pytest_pgmigrate.seeding.judge import Candidates, Judge
from pytest_pgmigrate.seeding.shape import Check, Column, Row, Table

MAX_COMBINATIONS = 6000
MAX_KEPT = 24
PILOTS = 3
CLIMB_STEPS = 8
CLIMB_WIDTH = 400


class Witness:
    """Repairs the rows of one table. ``frozen`` columns keep the values they have."""

    def __init__(
        self, judge: Judge, table: Table, maker: CandidateMaker, stream: Stream, frozen: frozenset[str]
    ) -> None:
        self._judge = judge
        self._table = table
        self._maker = maker
        self._stream = stream
        self._frozen = frozen

    def repair(self, rows: Sequence[Row]) -> tuple[list[Row], str]:
        """The rows that meet every check, some of their values changed, and the first check no value was found for."""
        checks = list(self._table.checks)
        if not checks or not rows:
            return list(rows), ""
        verdicts = self._judge.verdicts(checks, rows)
        unmet = ""
        lost: set[int] = set()
        for group in groups(checks):
            failing = [at for at, met in enumerate(verdicts) if not all(met[number] for number in group)]
            if not failing:
                continue
            concerned = [checks[number] for number in group]
            failed = [rows[at] for at in failing]
            open_rows = self._search(concerned, failed)
            if open_rows:
                again = self._search(concerned, [failed[at] for at in open_rows], wide=True)
                open_rows = [open_rows[at] for at in again]
            if open_rows:
                shut = {failing[at] for at in open_rows}
                good = [row for at, row in enumerate(rows) if at not in shut]
                again = self._borrow(concerned, [failed[at] for at in open_rows], good)
                open_rows = [open_rows[at] for at in again]
            if open_rows:
                unmet = unmet or self._blame(concerned, rows[failing[open_rows[0]]])
                lost.update(failing[at] for at in open_rows)
        return [row for at, row in enumerate(rows) if at not in lost], unmet

    def _borrow(self, checks: Sequence[Check], rows: Sequence[Row], good: Sequence[Row]) -> list[int]:
        """Give rows what rows that meet the checks have in these columns; the positions of those left unmet."""
        columns = self._free(checks)
        unmet = list(range(len(rows)))
        for like in good[:MAX_KEPT]:
            if not unmet or not columns:
                break
            trial = [{**rows[at], **{column.name: like.get(column.name) for column in columns}} for at in unmet]
            verdicts = self._judge.verdicts(checks, trial)
            for at, changed, met in zip(unmet, trial, verdicts, strict=True):
                if all(met):
                    rows[at].update(changed)
            unmet = [at for at, met in zip(unmet, verdicts, strict=True) if not all(met)]
        return unmet

    def _free(self, checks: Sequence[Check]) -> list[Column]:
        """The columns of the checks whose values may be changed."""
        named = {name for check in checks for name in check.columns}
        return [
            column
            for column in self._table.columns
            if column.name in named and not column.generated and column.name not in self._frozen
        ]

    def _blame(self, checks: Sequence[Check], row: Row) -> str:
        met = self._judge.verdicts(checks, [row])[0]
        return next((check.name for check, good in zip(checks, met, strict=True) if not good), checks[0].name)

    def _search(self, checks: Sequence[Check], rows: Sequence[Row], *, wide: bool = False) -> list[int]:
        """Change the rows in place; the positions of those left unmet."""
        columns = self._free(checks)
        if not columns:
            return list(range(len(rows)))
        candidates = [
            self._maker.candidates(column, columns, checks, rows, self._judge, wide=wide) for column in columns
        ]
        if wide:
            candidates = [
                self._judge.readable(one, ways) or ways for one, ways in zip(columns, candidates, strict=True)
            ]
        vectors = self._vectors(checks, columns, candidates, rows[:PILOTS])
        return self._assign(checks, columns, candidates, vectors, rows)

    def _vectors(
        self, checks: Sequence[Check], columns: Sequence[Column], candidates: list[Candidates], pilots: Sequence[Row]
    ) -> list[tuple[int, ...]]:
        """Combinations of candidates that hold for some pilot row, different enough from each other to be of use."""
        kept = [_cheapest(ways, size) for ways, size in zip(candidates, _sizes(candidates), strict=True)]
        picked = [
            [(ways[at][0], ways[at][1][: len(pilots)]) for at in at_all]
            for ways, at_all in zip(candidates, kept, strict=True)
        ]
        found = self._judge.combinations(checks, columns, picked, pilots, MAX_COMBINATIONS)
        if found:
            vectors = [tuple(kept[number][at] for number, at in enumerate(indexes)) for _, indexes in found]
            return _diverse(list(dict.fromkeys(vectors)), candidates)
        if found is not None and all(len(ways) == len(at_all) for ways, at_all in zip(candidates, kept, strict=True)):
            return []
        climbed = [self._climb(checks, columns, candidates, row, at) for at, row in enumerate(pilots)]
        return list(dict.fromkeys(vector for vector in climbed if vector))

    def _climb(
        self, checks: Sequence[Check], columns: Sequence[Column], candidates: list[Candidates], row: Row, at: int
    ) -> tuple[int, ...] | None:
        """From the row as it is to one that meets all checks, by the change that meets most at every step."""
        current = (0,) * len(columns)
        score = -1
        for turn in range(CLIMB_STEPS):
            near = self._neighbours(current, candidates, turn)
            trial = [{**row, **_values(columns, candidates, vector, at)} for vector in near]
            scores = [sum(met) for met in self._judge.verdicts(checks, trial)]
            best = max(range(len(near)), key=lambda one: (scores[one], -one))
            if scores[best] == len(checks):
                return near[best]
            if scores[best] >= score:
                current, score = near[best], scores[best]
        return None

    def _neighbours(self, current: tuple[int, ...], candidates: list[Candidates], turn: int) -> list[tuple[int, ...]]:
        near = [current]
        for number, ways in enumerate(candidates):
            near += [
                (*current[:number], way, *current[number + 1 :]) for way in range(len(ways)) if way != current[number]
            ]
        for extra in range(CLIMB_WIDTH if turn else 0):
            changed = list(current)
            for part in range(2 + extra % 3):
                number = self._stream.below(extra, len(candidates), 31 * turn + 2 * part)
                changed[number] = self._stream.below(extra, len(candidates[number]), 31 * turn + 2 * part + 1)
            near.append(tuple(changed))
        return near

    def _assign(
        self,
        checks: Sequence[Check],
        columns: Sequence[Column],
        candidates: list[Candidates],
        vectors: list[tuple[int, ...]],
        rows: Sequence[Row],
    ) -> list[int]:
        """Give every row one of the vectors, in turn; a row for which it does not hold tries the next."""
        unmet = list(range(len(rows)))
        for turn in range(len(vectors)):
            trial = [
                {**rows[at], **_values(columns, candidates, vectors[(at + turn) % len(vectors)], at)} for at in unmet
            ]
            verdicts = self._judge.verdicts(checks, trial)
            still = []
            for at, changed, met in zip(unmet, trial, verdicts, strict=True):
                if all(met):
                    rows[at].update(changed)
                else:
                    still.append(at)
            unmet = still
            if not unmet:
                break
        return unmet


def groups(checks: Sequence[Check]) -> list[list[int]]:
    """Numbers of the checks that share columns, directly or through others."""
    found: list[tuple[set[str], list[int]]] = []
    for number, check in enumerate(checks):
        columns, members = set(check.columns), [number]
        apart = []
        for other, numbers in found:
            if other & columns:
                columns |= other
                members = numbers + members
            else:
                apart.append((other, numbers))
        found = [*apart, (columns, members)]
    return [members for _, members in found]


def _values(columns: Sequence[Column], candidates: Sequence[Candidates], vector: Sequence[int], at: int) -> Row:
    return {column.name: ways[way][1][at] for column, ways, way in zip(columns, candidates, vector, strict=True)}


def _sizes(candidates: Sequence[Candidates]) -> list[int]:
    """How many candidates of each column to combine, so that the product stays small."""
    sizes = [len(ways) for ways in candidates]
    product = 1
    for size in sizes:
        product *= size
    while product > MAX_COMBINATIONS // PILOTS and max(sizes) > 2:
        largest = max(range(len(sizes)), key=lambda number: sizes[number])
        product = product // sizes[largest] * (sizes[largest] - 1)
        sizes[largest] -= 1
    # Too many columns even so: combine the first ones only, the others stay as they are.
    for number in range(len(sizes)):
        if product <= MAX_COMBINATIONS * 2:
            break
        product //= sizes[-1 - number]
        sizes[-1 - number] = 1
    return sizes


def _cheapest(ways: Candidates, size: int) -> list[int]:
    return sorted(sorted(range(len(ways)), key=lambda at: ways[at][0])[:size])


def _diverse(vectors: list[tuple[int, ...]], candidates: Sequence[Candidates]) -> list[tuple[int, ...]]:
    """The cheapest vectors, plus for every likely value of every column the cheapest vector that has it."""

    def cost(vector: tuple[int, ...]) -> int:
        return sum(ways[way][0] for ways, way in zip(candidates, vector, strict=True))

    ranked = sorted(vectors, key=cost)
    least = cost(ranked[0])
    kept = []
    seen: set[tuple[int, int]] = set()
    for vector in ranked:
        if cost(vector) > least + 4:
            break
        news = set(enumerate(vector)) - seen
        if news:
            kept.append(vector)
            seen |= news
    return kept[:MAX_KEPT]


def unmet_reason(name: str) -> str:
    """The report's words for a check that no candidate met."""
    return f"no value found that meets {name}"
