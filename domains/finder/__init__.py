"""Our net that finds faces and five points in photographs, paintings and manga alike, and its training."""
