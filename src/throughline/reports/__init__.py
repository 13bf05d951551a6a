"""Pages in one file: what a verb found out, for a reader without a network, a script or an account."""
