"""Options of backbone=: networks that turn an image into an embedding."""
