"""Several hosts as one builder of buildx: who builds what, by which endpoint, and how buildx is told so.

buildx and BuildKit do the work. What decides is pure: `assignment`, `changes`. `way` writes how a host is reached so
that the `ssh` which buildx starts goes the same way; `buildx` is the program itself.
"""
