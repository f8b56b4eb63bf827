"""The reproducible evidence base for Sharpness-Aware Minimization."""

__version__ = "0.1.0"
