"""Where raw pictures come from: one small file a source, provenance of every picture."""
