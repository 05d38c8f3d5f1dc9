"""Volumes step: a DICOM series or a volume file becomes int16 HU in a shard, or is refused with a reason.

From the outside in: ``combine_shards`` joins the tables of a dataset, ``convert_shard`` writes one shard and
its tables, ``convert_scan`` converts one scan, ``dicom_series`` or ``volume_file`` reads it. What is repaired
and what is refused is listed in ``refusals``.
"""
