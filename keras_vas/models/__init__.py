"""Models: what each is made of, and what all have in common."""
