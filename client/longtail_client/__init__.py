"""The ground everything stands on: the contract with Triton, the errors, and clients for both models."""
