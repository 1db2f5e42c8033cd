"""Where raw pictures come from: one small file for each source, with the provenance of every picture."""
