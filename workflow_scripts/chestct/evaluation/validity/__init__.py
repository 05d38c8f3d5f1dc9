"""Checks of the evaluation's methods: coverage of the intervals, power, a control with permuted labels."""
