"""The runtimes a model can run on: one file each, behind one Predictor."""
