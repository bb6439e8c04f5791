"""Models in memory: how they are loaded, in which precision, and on which device they run."""
