"""What jobs of the workflow ask for and depend on: memory, time, GPUs, code, starting weights."""
