"""The page on which a person looks at the suspects of a set."""
