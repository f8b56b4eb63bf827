"""What claims can measure: a module for each quantity, whose QUANTITY is a class of sharpness.evidence.quantity."""
