"""The fast forms of models on a CPU."""
