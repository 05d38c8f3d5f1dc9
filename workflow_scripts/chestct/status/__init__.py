"""What a run of the study is doing: jobs running, done, failed and left, and the time that is left.

The logger plugin of Snakemake (snakemake_logger_plugin_chestct) appends events to results/STUDY/events.jsonl;
here they become the state of a run and a page of text. On a cluster Slurm's queue is asked once.
"""
