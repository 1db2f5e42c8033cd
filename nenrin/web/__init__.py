"""The page of `nenrin serve`: age a face, review a set, look at runs and reports."""
