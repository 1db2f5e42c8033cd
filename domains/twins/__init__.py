"""Twins: people who never were, drawn at any age in two domains, with every label exact."""

from nenrin.domains.twins.build import build_twins
from nenrin.domains.twins.drawing import Drawing, draw
from nenrin.domains.twins.people import People, View, sample_people, sample_views
from nenrin.domains.twins.wear import wear

__all__ = ["Drawing", "People", "View", "build_twins", "draw", "sample_people", "sample_views", "wear"]
