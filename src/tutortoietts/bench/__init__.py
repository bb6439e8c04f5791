"""Measuring the whole product: how long, how much memory, and how near to what the machine could do.

Above `api`, because what is measured is what a user calls; below `cli`, which only parses and prints.
"""
