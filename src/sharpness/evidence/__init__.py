"""From what the runs have left to the tables and figures of the report. Nothing here imports torch."""
