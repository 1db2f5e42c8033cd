"""Judges, identity and perceptual distances, protocols, statistics, the report."""
