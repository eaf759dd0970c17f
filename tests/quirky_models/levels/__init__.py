"""A package whose root has no API, but whose submodules have."""
