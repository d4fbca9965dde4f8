"""Point experts, combined by weight; `roster` lists them."""
