"""Model files: what they are, whether they are safe to open, and how to run them."""
