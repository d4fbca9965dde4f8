"""Small forecasters that are weighed against each other; `roster` lists them."""
