"""Training: pretraining, fine-tuning and prediction; torch lives here and in models.

Read ``finetune`` first: what a run is given (``job``, ``settings``, ``windows.scans``), what it starts
with (``start``), how long it trains (``budget``, ``schedule``), what it leaves (``record``,
``run_facts``). The optimisation step, its validation and the saved state are in ``loop``;
``early_stopping`` keeps the best weights, ``checkpoint`` what an interrupted run goes on from.
``make_ready`` comes before the first step: a check of the GPU, and compiling (``compiling``,
``compile_choice``). ``pretrain`` uses the same loop on generated clips, ``trials`` and ``selection``
search for learning rates. ``predict`` scores scans, by the same ``scoring`` as validation, and writes
``prediction_rows``; ``precision`` says what both compute in.

Subpackages: ``windows`` (what is read, drawn and augmented), ``machine`` (processes, devices, signals),
``probes`` (heads of frozen networks), ``measure`` (speed).
"""
