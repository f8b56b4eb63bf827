"""The kinds of tables and figures: a module each, whose KIND is a class of sharpness.evidence.artifact."""
