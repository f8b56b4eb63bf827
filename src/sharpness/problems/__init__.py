"""Toy problems: optimisation problems that are not networks.

A problem is a module of this package with SEMANTICS, a dataclass Settings that checks itself (its fields are the keys
of the problem's entry in config/study.yaml), and compute, from settings to a tidy frame. It may have a summary, from
that frame to what the report's text quotes. The modules are imported by all that loads the study, so they import torch
where they compute.
"""
