"""What a study will cost, before it runs: jobs, hours, disk. No step of the study; imports no torch."""
