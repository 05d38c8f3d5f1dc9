"""Download step: DICOM series on disk, a series table, label tables, weight files.

``datasets`` does the step's work for one dataset, through the functions that every module of ``sources``
has. ``labels`` says what readers and label tables mean, ``transfer`` how files come, ``phantoms`` what
generated scans look like. ``published_weights`` fetches the files that ``weights_table`` lists;
``download_plan`` says what a study will fetch, ``manifest`` where it came from.
"""
