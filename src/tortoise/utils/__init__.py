"""Helpers under the names of the original."""
