"""What can be wrong with a face of a set, measured: statistics, and how unusual each is among the others."""
