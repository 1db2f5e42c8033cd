"""One question in each file: what is asked of an ager, on which faces, and how the answer is scored."""
