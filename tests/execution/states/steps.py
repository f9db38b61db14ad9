"""Random schema changes: every step picks a kind of change and objects that exist, from a seeded generator."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

TYPES = (
    "int",
    "text",
    "numeric(8, 2)",
    "timestamptz",
    "jsonb",
    "state_kind",
    "state_amount",
    "uuid[]",
    "regclass",
    "state_pair",
)

START = """
create type state_kind as enum ('a', 'b');
create domain state_amount as int check (value > -5);
create type state_pair as (x int, y text);
create schema other;
create function state_one(n int default 1) returns int language sql immutable as 'select n'
"""


class Steps:
    """Makes statements; a statement may fail, which changes nothing and is part of the exercise."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.number = 0
        self.kinds: tuple[Callable[[], str], ...] = tuple(
            getattr(self, name) for name in dir(type(self)) if name.startswith("make_")
        )
        # Tables go faster than they come, by drops and renames.
        self.kinds += (self.make_table,) * 4

    def next(self) -> str:
        """One statement."""
        self.number += 1
        return self.random.choice(self.kinds)()

    def table(self) -> str:
        schema = "other." if self.random.random() < 0.15 else ""
        return f"{schema}t{self.random.randrange(8)}"

    def column(self) -> str:
        return f"c{self.random.randrange(6)}"

    def type(self) -> str:
        return self.random.choice(TYPES)

    def make_table(self) -> str:
        key = self.random.choice(("", " primary key", " generated always as identity primary key"))
        tail = self.random.choice(("", "", " unique"))
        kind = self.random.choice(("", "", "", "unlogged "))
        return f"create {kind}table {self.table()} (c0 int{key}, c1 {self.type()}{tail}, c2 bigserial, c3 text)"

    def make_child(self) -> str:
        return f"create table k{self.random.randrange(4)} (extra int) inherits ({self.table()})"

    def make_partitions(self) -> str:
        name = f"p{self.number}"
        return (
            f"create table {name} (c0 int not null, c1 text) partition by range (c0);"
            f" create table {name}_1 partition of {name} for values from (0) to (100)"
        )

    def make_drop_table(self) -> str:
        return f"drop table {self.table()}{self.random.choice(('', ' cascade'))}"

    def make_add_column(self) -> str:
        extra = self.random.choice(
            ("", " default null", " unique", " check (true)", " not null", " default state_one()")
        )
        kind = "int" if "state_one" in extra else self.type()
        return f"alter table {self.table()} add column {self.column()} {kind}{extra}"

    def make_add_constant(self) -> str:
        return f"alter table {self.table()} add column {self.column()} int default {self.random.randrange(9)}"

    def make_drop_column(self) -> str:
        return f"alter table {self.table()} drop column {self.column()}{self.random.choice(('', ' cascade'))}"

    def make_rename_column(self) -> str:
        return f"alter table {self.table()} rename column {self.column()} to {self.column()}"

    def make_rename_table(self) -> str:
        return f"alter table {self.table()} rename to t{self.random.randrange(8)}"

    def make_move_table(self) -> str:
        return f"alter table {self.table()} set schema {self.random.choice(('public', 'other', 'hidden'))}"

    def make_move_back(self) -> str:
        return f"alter table hidden.t{self.random.randrange(8)} set schema public"

    def make_type(self) -> str:
        return f"alter table {self.table()} alter column {self.column()} type text"

    def make_default(self) -> str:
        default = self.random.choice(
            ("set default null", "drop default", "set default '7'", "set not null", "drop not null")
        )
        return f"alter table {self.table()} alter column {self.column()} {default}"

    def make_index(self) -> str:
        unique = self.random.choice(("", "unique "))
        where = self.random.choice(("", f" where {self.column()} is not null"))
        return f"create {unique}index on {self.table()} ({self.column()}, state_one(c0)){where}"

    def make_index_name(self) -> str:
        return f"alter index t{self.random.randrange(8)}_pkey rename to t{self.random.randrange(8)}_key"

    def make_constraint(self) -> str:
        name = f"k{self.random.randrange(4)}"
        return self.random.choice(
            (
                f"alter table {self.table()} add constraint {name} check ({self.column()} is not null or c0 = 1) not valid",
                f"alter table {self.table()} drop constraint {name}",
                f"alter table {self.table()} rename constraint {name} to k{self.random.randrange(4)}",
                f"alter table {self.table()} validate constraint {name}",
                f"alter table {self.table()} add constraint {name} foreign key (c0) references {self.table()}",
                f"alter table {self.table()} drop constraint t{self.random.randrange(8)}_pkey cascade",
                f"alter table {self.table()} add primary key (c0)",
            )
        )

    def make_view(self) -> str:
        name = f"v{self.random.randrange(5)}"
        return self.random.choice(
            (
                f"create view {name} as select * from {self.table()}",
                f"create view {name} as select a.*, b.c0 as b0 from {self.table()} a join {self.table()} b using (c0)",
                f"create materialized view m{name} as select c0, count(*) from {self.table()} group by c0",
                f"refresh materialized view m{name}",
                f"drop view {name} cascade",
                f"drop materialized view m{name}",
                f"alter view {name} rename column c0 to r{self.random.randrange(3)}",
                f"alter view {name} rename to v{self.random.randrange(5)}",
                f"create view w{name} as select * from {name}",
            )
        )

    def make_function(self) -> str:
        return self.random.choice(
            (
                f"create or replace function f{self.random.randrange(3)}() returns int language sql as 'select {self.number}'",
                f"create function g{self.number}() returns bigint begin atomic select count(c0) from {self.table()}; end",
                "alter function state_one(int) rename to state_uno",
                "alter function state_uno(int) rename to state_one",
                f"drop function f{self.random.randrange(3)}()",
            )
        )

    def make_trigger(self) -> str:
        return self.random.choice(
            (
                "create or replace function tf() returns trigger language plpgsql as 'begin return new; end'",
                f"create trigger tr before update of c0 on {self.table()} for each row when (new.c0 > 1) execute function tf()",
                f"alter table {self.table()} disable trigger all",
                f"alter table {self.table()} enable trigger all",
                f"drop trigger tr on {self.table()}",
                f"create rule ru as on delete to {self.table()} do also select 1",
            )
        )

    def make_type_change(self) -> str:
        return self.random.choice(
            (
                f"alter type state_kind add value 'v{self.number}'",
                "alter type state_kind rename value 'a' to 'aa'",
                "alter type state_kind rename value 'aa' to 'a'",
                "alter type state_kind rename to state_sort",
                "alter type state_sort rename to state_kind",
                "alter domain state_amount set default 4",
                f"alter domain state_amount add constraint d{self.number} check (value < 100)",
                f"alter type state_pair add attribute z{self.number} int",
                "alter type state_pair rename attribute y to yy cascade",
                f"create type other.e{self.number} as enum ('x')",
            )
        )

    def make_privileges(self) -> str:
        return self.random.choice(
            (
                f"grant select on {self.table()} to public",
                f"revoke select on {self.table()} from public",
                f"grant update (c0) on {self.table()} to public",
                "grant execute on function pg_sleep(double precision) to public",
                f"comment on table {self.table()} is 'n{self.number}'",
                f"comment on column {self.table()}.c0 is 'n{self.number}'",
                f"comment on column {self.table()}.c0 is null",
                "alter schema other rename to elsewhere",
                "alter schema elsewhere rename to other",
                "alter default privileges grant select on tables to public",
                f"alter sequence {self.table()}_c2_seq owned by none",
                f"alter sequence t1_c2_seq rename to sq{self.random.randrange(3)}",
            )
        )

    def make_policy(self) -> str:
        return self.random.choice(
            (
                f"create policy po on {self.table()} using (c0 in (select c0 from {self.table()}))",
                f"drop policy po on {self.table()}",
                f"alter table {self.table()} enable row level security",
                f"create statistics st{self.number} on c0, c1 from {self.table()}",
                f"create publication pu{self.number} for table {self.table()}",
                "create operator other.## (leftarg = int, rightarg = int, function = int4pl)",
                "drop operator other.## (int, int)",
            )
        )

    def make_rows(self) -> str:
        table = self.table()
        return self.random.choice(
            (
                f"insert into {table} (c0, c3) select i, 'x' from generate_series({self.number}, {self.number + 3}) i",
                f"update {table} set c3 = 'y{self.number}' where c0 % 2 = 0",
                f"delete from {table} where c0 % 3 = 0",
                f"truncate {table} cascade",
                f"select nextval('{table}_c2_seq')",
                f"select setval('{table}_c2_seq', 5, false)",
                f"vacuum full {table}",
                "vacuum full pg_class",
                "vacuum",
                "checkpoint",
            )
        )

    def make_transaction(self) -> str:
        return f"begin; {self.next()}; {self.next()}; {self.random.choice(('commit', 'rollback', 'commit'))}"
