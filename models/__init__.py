"""Conditions, the agers, their losses, the one training loop, run folders, checkpoints, `Ager`."""
