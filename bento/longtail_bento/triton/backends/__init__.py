"""Python-based backends, kept out of the model repository: there a folder is a model and a version is data."""
