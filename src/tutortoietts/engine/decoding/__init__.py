"""Codes from tokens: prefill, copy to candidates, step, compact, finish."""
