"""The arrows of the design, one function each; `pipeline` alone chains them."""
