#!/bin/sh
# Made by `provision export shell`: edit provision.toml and make it anew.
# Makes the machine that it runs on the original of images: provisioned, and without anything of this machine's own.
{{ bake }}
