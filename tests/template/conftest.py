"""What the tests of the template share."""

from .images import images_of_this_run

__all__ = ["images_of_this_run"]
