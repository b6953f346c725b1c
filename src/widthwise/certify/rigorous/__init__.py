"""Certificates in outward-rounded interval arithmetic, checked apart from those with margins."""
