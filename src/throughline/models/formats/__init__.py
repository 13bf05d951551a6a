"""The model files we can recognise by their content: one file each."""
