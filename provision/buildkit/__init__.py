"""BuildKit: which release, verified how, configured how, and what its daemon says."""
