"""Versions of models, the aliases that production follows, and the rule by which an alias may move."""
