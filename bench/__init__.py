"""Every figure that the documents publish, measured here against its peer in one run."""
