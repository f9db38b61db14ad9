"""What runs inside the containers. Plain ``sh``: images need not have bash."""

from __future__ import annotations

HOME = "/pgmigrate"
"""A tmpfs that every user may write to; mounted on PGDATA itself it would belong to root."""

PRIMARY_PORT = 5432
REPLICA_PORT = 5433
FORK_PORT = 5434

EXITED = "pgmigrate: the server exited with status"

GUARD = f"""
# Ends the container when standard input closes, that is when the run that holds the other end is gone, unless the word
# "keep" was said before. Ending process 1 ends them all; nothing needs to be shut down, the data is in memory.
exec 3<&0
trap 'exit 0' TERM INT QUIT
( while read -r word <&3; do [ "$word" = keep ] && while :; do sleep 3600; done; done; kill -TERM $$ ) &
guard=$!
"$@" </dev/null 3<&- &
wait $!
echo "{EXITED} $?" >&2
# Stay, so that the log can be read: a container that ends is removed with its log.
wait $guard
"""

REPLICA = f"""
# A base backup of the primary next door (same network namespace), then its standby. Until the primary serves, the
# backup is refused and tried again; its start-up server listens on no port, so it is never taken for the real one.
set -eu
data={HOME}/replica
source="host=127.0.0.1 port={PRIMARY_PORT} user=postgres application_name=pgmigrate_replica"
until pg_isready -q -h 127.0.0.1 -p {PRIMARY_PORT} &&
  pg_basebackup -D "$data" -d "$source" -R -X stream -c fast --no-sync --no-manifest
do rm -rf "$data"; sleep 0.05; done
exec postgres -D "$data" -p {REPLICA_PORT} "$@" >{HOME}/replica.log 2>&1
"""


FORK = f"""
set -eu
data=$1
source="host=127.0.0.1 port={PRIMARY_PORT} user=postgres application_name=pgmigrate_fork"
pg_basebackup -D "$data" -d "$source" -X stream -c fast --no-sync --no-manifest
"""

START = f"""
data=$1
shift
# What a server that was killed leaves says "ready" of a process that is gone.
rm -f "$data/postmaster.pid"
exec postgres -D "$data" -p {FORK_PORT} "$@" >>"$data.log" 2>&1
"""

CRASH = """
pid=$(head -n 1 "$1/postmaster.pid") || exit 0
kill -QUIT "$pid" || exit 0
while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
"""


def script(text: str, *arguments: str) -> list[str]:
    """The command that runs one of these scripts."""
    return ["sh", "-c", text, "pgmigrate", *arguments]


def guarded(*command: str) -> list[str]:
    """A container's whole command: the guard around ``command``."""
    return ["-c", GUARD, "pgmigrate", *command]


def replica_command(arguments: list[str]) -> list[str]:
    """The command that makes and runs the replica."""
    return ["sh", "-c", REPLICA, "replica", *arguments]
