"""The ground everything stands on: the contract with Triton, the errors, clients of both models and of the service."""

from longtail_client.errors import LongtailError
from longtail_client.recommender import AsyncRecommender, Recommender

__all__ = ["AsyncRecommender", "LongtailError", "Recommender"]
