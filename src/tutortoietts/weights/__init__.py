"""Where weights come from: what exists, how to get it, and how the public checkpoints become ours."""
