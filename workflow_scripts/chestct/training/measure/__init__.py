"""How fast models train and score, by timing the training step.

``throughput`` is the command; ``speed`` times a model, ``machine_speeds`` what the machine reaches at best,
and ``data_sheets`` has what its vendor says; ``floor`` is the least that a step can take. In the table of
speeds, ``estimates`` fills in other devices, and ``prediction_speed`` prediction where it was not measured.
"""
