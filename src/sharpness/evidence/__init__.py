"""From what the jobs have left to the tables, figures, findings and report. Nothing here imports torch."""
