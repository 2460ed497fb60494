"""A simple winner model on gold: how much an honest one can know, and an alarm when it knows more.

Knows the public gold tables and nothing of how they were made. Runs in the baseline environment.
"""
