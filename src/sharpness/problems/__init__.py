"""Optimisation problems that are not networks."""
