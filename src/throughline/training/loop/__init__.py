"""The loop itself, what it keeps on the disk, and what it can be set to learn."""
