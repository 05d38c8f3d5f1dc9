"""Processes, devices, staged shards and signals."""
