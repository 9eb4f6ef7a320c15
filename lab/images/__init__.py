"""Images: what they are made of, where their parts come from, and how they are built."""
