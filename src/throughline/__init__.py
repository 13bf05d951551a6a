"""One line from weights to production, with proof at every step."""
