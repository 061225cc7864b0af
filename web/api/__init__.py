"""The API for other systems and for pages: JSON under /api/v1, one module for each thing it is about."""
