"""C kernels for CPUs: how they are compiled, and their functions over tensors."""
