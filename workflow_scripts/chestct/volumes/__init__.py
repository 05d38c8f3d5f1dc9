"""Volumes step: a DICOM series or a volume file becomes int16 HU in a shard, or is refused with a reason.

``series`` reads one scan, ``convert`` converts it, ``shard`` writes a shard with its tables, ``combine``
joins the tables of a dataset. Every rule of what is repaired and what is refused stands in ``refusals``.
"""
