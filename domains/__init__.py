"""What a face is, and how it is found, aligned, labelled, split, stored, stylised and drawn."""
