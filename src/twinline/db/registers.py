"""Upserts for rows made of registers, written from a description instead of by hand.

The row comes as JSON; where a row of that key exists, each register is joined on its own (see ``mirror.fold``), and
a row that would not change isn't written at all.
"""

from collections.abc import Mapping, Sequence


def upsert(
    table: str,
    *,
    key: Sequence[str],
    versioned: Mapping[str, Sequence[str]],
    lattice: Mapping[str, str],
    once: Sequence[str],
    types: Mapping[str, str],
    defaults: Mapping[str, str],
    times: Sequence[str] = (),
) -> str:
    """The statement; its one parameter is a JSON array of objects.

    ``versioned``: version column -> the columns it governs. ``lattice``: column -> SQL of the join, where ``old`` and
    ``new`` are the two values. ``once``: columns that are set once and then stay. ``types``: every column's type as it
    stands in the JSON (times as unix seconds). ``defaults``: what an absent value means, for columns that can't be
    NULL.
    """
    columns = [*key, *once, *(c for v, governed in versioned.items() for c in (v, *governed)), *lattice]
    selected = []
    for column in columns:
        value = f"r.{column}"
        if column in times:
            value = f"to_timestamp({value})"
        if column in defaults:
            value = f"coalesce({value}, {defaults[column]})"
        selected.append(value)
    changes, reasons = [], []
    for version, governed in versioned.items():
        newer = f"excluded.{version} > o.{version}"
        changes.append(f"{version} = greatest(o.{version}, excluded.{version})")
        changes += [f"{c} = CASE WHEN {newer} THEN excluded.{c} ELSE o.{c} END" for c in governed]
        reasons.append(newer)
    for column, join in lattice.items():
        joined = join.replace("old", f"o.{column}").replace("new", f"excluded.{column}")
        changes.append(f"{column} = {joined}")
        reasons.append(f"o.{column} IS DISTINCT FROM {joined}")
    for column in once:
        changes.append(f"{column} = coalesce(o.{column}, excluded.{column})")
        reasons.append(f"o.{column} IS NULL AND excluded.{column} IS NOT NULL")
    return f"""
INSERT INTO {table} AS o ({", ".join(columns)})
SELECT {", ".join(selected)}
FROM json_to_recordset(%s::json) AS r({", ".join(f"{c} {types[c]}" for c in columns)})
ORDER BY {", ".join(f"r.{c}" for c in key)}
ON CONFLICT ({", ".join(key)}) DO UPDATE SET
    {("," + chr(10) + "    ").join(changes)}
WHERE {" OR ".join(reasons)}
"""
