"""Training runs: from a job's spec and its data set to a history. The report's Section "Method" as one job."""

# Raise this when a change to the ascent step, the networks, the data or the loop changes the weights that a spec gives,
# or a number of its history: every run then has a new id and is trained again. A new column alone does not need it.
SEMANTICS = 1
