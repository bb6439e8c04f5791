"""`split_and_recombine_text`."""

from tutortoietts.text.split import split_and_recombine_text

__all__ = ["split_and_recombine_text"]
