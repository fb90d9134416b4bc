"""BuildKit from its Go module: compiled here, packed like a release archive, kept in the cache.

`build` is the way in. Everything that a build leaves is below the folder `go` of the tool's cache, except the
archives: they are beside the downloaded releases, and are named by their SHA-256 as those are.
"""
