"""Evaluation: predictions in, metrics with bootstrap intervals and paired comparisons out.

``dataset`` evaluates one dataset, from top to bottom: scans (``scans``, ``predictions``), resamples of
patients (``resampling``), values of every metric on all of them (``fold_values``, ``metrics``),
quantities to estimate (``contrasts``: arms, means over models, differences), their intervals and p values
(``estimates``; ``inference`` for patients, training runs and models together, ``intervals`` for patients
alone). ``study`` joins datasets and gives the verdicts (``claims``). ``validity`` checks these methods.
docs/statistics.md defines all of it.
"""
