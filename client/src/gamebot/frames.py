"""Arrow to pandas, the same for every source."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

# An integer or a flag that is unknown stays what it is, and is no float or object.
NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a DataFrame: nullable integers and flags, dates as datetime64."""
    for position, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            table = table.set_column(position, field.name, _number(table.column(position)))
    frame: pd.DataFrame = table.to_pandas(types_mapper=NULLABLE.get, date_as_object=False)
    return frame


def _number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return decimals, as DuckDB has for sums of integers, as numbers that pandas can add."""
    if column.type.scale == 0:
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            pass  # too large for an integer
    return column.cast(pa.float64())
