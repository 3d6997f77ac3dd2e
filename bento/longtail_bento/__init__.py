"""The online half: one service over Triton, and what starts Triton."""
