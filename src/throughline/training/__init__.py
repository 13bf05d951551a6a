"""The next version of a model: recipes, those that carry them out, those that search them, and the logs of runs."""
