"""The C kernels: how they are compiled, and their functions over tensors."""
