"""Subsets: cohort, patient-level splits, nested training subsets, windows.

In the order of the step: ``cohort`` lists every scan and what became of it, ``assign_splits`` splits the
patients (``splits`` by shares or folds, ``groups`` with a group left out), ``splits`` also draws the
nested subsets, ``windows`` lists the windows. ``outside`` makes test sets of other datasets,
``publication`` the manifests to share.
"""
