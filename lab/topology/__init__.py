"""The topology file: model, loader and schema."""
