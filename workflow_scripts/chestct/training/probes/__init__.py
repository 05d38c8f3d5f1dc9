"""Frozen probes: a linear head on the features of a network that stays as it was loaded.

``features`` runs a network once over all windows of all scans and keeps what its head would see. ``heads``
fits heads on them, ``fit`` does so for every run of an arm and writes what training writes, ``scores``
predicts. Only the first runs a network.
"""
