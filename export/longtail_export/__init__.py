"""The offline half: writes model versions, catalogues and releases."""
