"""Model classes under the names of the original."""
