"""What the Bento serves; everything else is in the wheel."""

from longtail_bento.service import Longtail

__all__ = ["Longtail"]
