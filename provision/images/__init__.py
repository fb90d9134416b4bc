"""What was pushed: an image's index, manifests, configurations and layers, and whether its programs can start.

Layers are streamed, newest first, and never unpacked: what is kept of them is names, links and ELF headers.
"""
