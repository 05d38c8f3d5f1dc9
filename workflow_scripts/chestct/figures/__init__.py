"""Figures: metrics in; figures, result tables and the report out."""
