"""What a run of the study is doing: jobs running, done, failed and left, and the time that is left.

It reads what Snakemake writes anyway (its log, the logs of jobs) and, on a cluster, asks Slurm's queue once.
So it works for a run that began without it, from any terminal, and costs that run nothing; a logger plugin
would have to be asked for at the start, and shows nothing elsewhere.
"""
