"""Phrases that were spoken before: sound kept by a key of everything that makes it."""
