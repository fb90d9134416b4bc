"""`./inv test`: which rungs run, beside each other or one after the other, and what is installed first."""
