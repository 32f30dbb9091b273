"""Checkpoints: saved asynchronously, with a checksum of every array, and restored from the newest whole one."""
