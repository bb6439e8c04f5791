"""The steps from text to sound, one function each; `pipeline` alone chains them."""
