"""Building blocks that know nothing of the models made from them."""
