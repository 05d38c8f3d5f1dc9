"""Whether the evaluation's own methods hold: coverage of intervals, power, a control with permuted labels."""
