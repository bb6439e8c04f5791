"""Weights: the registry of public files, how to get them, and how public checkpoints become ours."""
