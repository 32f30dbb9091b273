"""Volumes as files: reading, sizes and grey levels, writing as volumes and meshes, and pictures of them."""
