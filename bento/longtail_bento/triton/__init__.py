"""Triton on this machine: its backends, and what starts, watches and ends it."""
