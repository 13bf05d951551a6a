"""How good results are, measured against the truth the way the field measures it."""
