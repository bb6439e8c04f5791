"""Measure the product: time, memory, and distance from the limit of the machine.

Above `api`, because what is measured is what a user calls; below `cli`, which only parses and prints.
"""
