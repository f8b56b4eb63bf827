"""The report: Markdown by sections, filled in with what the study has left, as one HTML page and as PDF."""

from sharpness.evidence.report.writing import write_report

__all__ = ["write_report"]
