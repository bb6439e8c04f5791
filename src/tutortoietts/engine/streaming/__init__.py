"""Sound in chunks while more is being made."""
