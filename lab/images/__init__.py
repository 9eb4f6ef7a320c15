"""Images: what they are made of, where their parts come from, and the recipes that build them."""
