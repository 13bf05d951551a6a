"""Whether the world is still the one that a model was made for: observations, drift, alarms, truth that comes late."""
