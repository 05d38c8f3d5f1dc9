"""Figures: metrics in; figures, result tables and the report out.

``study_tables`` holds what all of them read. ``render`` draws the figures, each of which has a module of
its own name and takes its parts from ``panels``, ``references``, ``dot_grid`` and ``small_multiples`` and
its look from ``style``. ``publication_tables`` writes tables for a manuscript. ``report`` writes the
page, whose contents ``report_contents`` gathers from the other ``report_*`` modules; ``claim_sentences``
and ``wording`` say things alike everywhere, ``captions`` has all captions.
"""
