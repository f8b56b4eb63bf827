"""A run's history: one row an epoch, a dict of its columns, and the text of history.csv."""

import csv
import io
import math


def history_text(history: list[dict[str, float]]) -> str:
    """The text of history.csv; nine significant digits hold a float32 exactly.

    A row that lacks a column has NaN there: its epoch was trained before the column was added.
    """
    columns = list(dict.fromkeys(column for row in history for column in row))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in history:
        writer.writerow([f"{row.get(column, math.nan):.9g}" for column in columns])
    return buffer.getvalue()
