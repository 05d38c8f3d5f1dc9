"""Where training is computed: processes, devices, compiled networks, staged shards and signals.

``launch`` starts a process a GPU (``worker``), ``processes`` is what they exchange, ``computation`` what
a run knows of all this. ``device`` chooses types and forms, ``gpu_support`` and ``bf16_check`` check a
GPU, ``free_gpus`` shares out those of one machine. ``compiled``, ``compile_trial`` and
``compiler_caches`` are about torch.compile, ``staging`` copies shards to the node, ``preemption`` listens
to a scheduler's signals.
"""
