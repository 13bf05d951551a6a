"""Opening files that may be hostile: nothing in them runs in this process."""
