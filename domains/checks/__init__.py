"""Measures what can be wrong with a face of a set: statistics, and how unusual each is within the set."""
