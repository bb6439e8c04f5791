"""The names that scripts written for the original Tortoise import, re-exported from tutortoietts."""
