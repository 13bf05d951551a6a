"""The product on one screen: one file = one verb = one command = one function."""
