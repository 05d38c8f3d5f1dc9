"""Evaluation: predictions in, metrics with bootstrap intervals and paired comparisons out."""
