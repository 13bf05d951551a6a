"""What the rooms of the house hand to each other: frozen types, protocols and errors.

Floor 0. Standard library and numpy only, so that any room, and any plug-in
outside the tree, can speak this language without importing a framework.
"""
