"""`foresail serve`: the answering process, the planning process, and what they tell each other."""
