"""How good masks are, and how they are shown."""
