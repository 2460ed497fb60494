"""The questions that a person asks, whatever the data comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pandas as pd

from gamebot.catalogue import Release, Table, quoted
from gamebot.errors import QueryFailed, UnknownName, did_you_mean
from gamebot.frames import to_pandas
from gamebot.sources import find_source

# Unqualified names mean the highest layer that has them.
LAYERS = ("gold", "silver", "bronze")

NO_TABLE = re.compile(r"Table with name \"?([\w.]+)\"? does not exist")
NO_COLUMN = re.compile(r"(?:Referenced column|column named|[Cc]olumn(?: with name)?) \"([^\"]+)\"")


class Gamebot:
    """The Survivor warehouse of one source.

    Args:
        source: a folder or URL of a data package or of a store, a file gamebot.duckdb, a URI
            postgresql://… or "warehouse" for the server that DB_* name. Without one, what
            GAMEBOT_DATA names, or what make run or make export left on this machine.
    """

    def __init__(self, source: str | None = None) -> None:
        self._source = find_source(source)
        # A name in a query is a table of the warehouse, never a variable of the program.
        self._engine = duckdb.connect(config={"python_enable_replacements": False})
        for layer in LAYERS:
            self._engine.execute(f"create schema {layer}")
        self._engine.execute(f"set search_path = '{','.join(LAYERS)}'")
        self._engine.execute("set timezone = 'UTC'")

    def __repr__(self) -> str:
        return f"<Gamebot: {self.release()}>"

    def release(self) -> Release:
        """Return which release is read, of which commit, published when, and from where."""
        return self._source.release()

    def tables(self) -> pd.DataFrame:
        """Return the tables: name, rows, columns and description."""
        rows = self._source.rows()
        return pd.DataFrame(
            {
                "table": name,
                "rows": rows.get(name),
                "columns": len(table.columns),
                "description": table.description,
            }
            for name, table in self._source.tables().items()
        )

    def describe(self, table: str) -> pd.DataFrame:
        """Return the columns of a table: name, type and description.

        Args:
            table: its name, with or without the layer.

        Raises:
            UnknownName: there is no such table; the message has those with similar names.
        """
        found = self._find(table)
        frame = pd.DataFrame(
            {"column": column.name, "type": column.type, "description": column.description}
            for column in found.columns
        )
        frame.attrs = {"table": found.full_name, "description": found.description}
        return frame

    def load_table(self, table: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a table, whole or some of its columns.

        Integers and flags that may be null stay integers and flags; dates are datetime64. `attrs`
        of the result has the description of the table and of each column.

        Args:
            table: its name, with or without the layer, such as "gold.ml_features_as_of".
            columns: those that are wanted, in this order.

        Raises:
            UnknownName: there is no such table or column; the message has those with similar names.
        """
        found = self._find(table)
        descriptions = {column.name: column.description for column in found.columns}
        wanted = list(descriptions) if columns is None else list(columns)
        for name in wanted:
            if name not in descriptions:
                raise UnknownName(
                    f"{found.full_name} has no column {name!r}.{did_you_mean(name, descriptions)} "
                    f'describe("{found.full_name}") lists all.'
                )
        release = self._source.show(self._engine, [found])
        selected = ", ".join(map(quoted, wanted))
        frame = self._run(f"select {selected} from {found.quoted}", [found])  # noqa: S608, quoted
        frame.attrs = {
            "table": found.full_name,
            "description": found.description,
            "columns": {name: descriptions[name] for name in wanted},
            "release": str(release),
        }
        return frame

    def query(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return the result of a query in DuckDB's SQL.

        Tables have their schema, bronze, silver or gold, or none.

        Args:
            sql: one query.
            params: values for `?` or `$name` in it.

        Raises:
            UnknownName: there is no such table or column; the message has those with similar names.
            QueryFailed: DuckDB refuses the query for another reason.
        """
        known = self._source.tables()
        # A table that is read is named; one that is named and not read costs little.
        words = set(re.findall(r"\w+", sql.lower()))
        named = [each for each in known.values() if each.name in words]
        self._source.show(self._engine, named)
        return self._run(sql, named, params)

    def _run(
        self,
        sql: str,
        tables: Sequence[Table],
        params: Sequence[Any] | Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        try:
            result = self._engine.sql(sql, params=params)
            return pd.DataFrame() if result is None else to_pandas(result.to_arrow_table())
        except duckdb.CatalogException as error:
            if found := NO_TABLE.search(str(error)):
                raise UnknownName(self._no_table(found[1])) from None
            raise QueryFailed(str(error)) from None
        except duckdb.BinderException as error:
            if found := NO_COLUMN.search(str(error)):
                columns = [
                    f"{table.full_name}.{column.name}"
                    for table in tables
                    for column in table.columns
                ]
                raise UnknownName(f"{error}\n{did_you_mean(found[1], columns).strip()}") from None
            raise QueryFailed(str(error)) from None
        except duckdb.Error as error:
            raise QueryFailed(str(error)) from None

    def _find(self, name: str) -> Table:
        tables = self._source.tables()
        for candidate in (name, *(f"{layer}.{name}" for layer in LAYERS)):
            if candidate in tables:
                return tables[candidate]
        raise UnknownName(self._no_table(name))

    def _no_table(self, name: str) -> str:
        close = did_you_mean(name, self._source.tables())
        return f"There is no table {name!r}.{close} tables() lists all."
