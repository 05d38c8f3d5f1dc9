"""Subsets: cohort, patient-level splits, nested training subsets, windows."""
