"""Training runs: data, loop, checkpoints. The report's Section "Method" as one job."""
