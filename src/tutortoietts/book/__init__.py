"""Documents to audiobooks: readers, plan, store, run, mastering, export."""
