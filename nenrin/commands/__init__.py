"""The commands of the command line, one file each: they turn words into calls and results into lines."""
