"""Freed memory is reused: a regression test of steps that took twice as long beside tf.data."""

import ctypes
import subprocess
import sys

import pytest

CODE = """
import ctypes, resource
import numpy as np
from jaxgen.training.parallel import _keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        np.ones(2**18)  # 2 MiB: 512 pages, too small for numpy's own huge pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

ctypes.CDLL("libc.so.6").mallopt(-3, 2**17)  # each block of 128 KiB or more is mapped and unmapped
before = faults()
_keep_freed_memory()
print(before, faults())
"""


def has_glibc() -> bool:
    try:
        return hasattr(ctypes.CDLL("libc.so.6"), "gnu_get_libc_version")
    except OSError:
        return False


@pytest.mark.skipif(not has_glibc(), reason="only glibc's allocator is set, no other has this fault")
def test_large_blocks_are_not_given_back_to_the_kernel():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 40_000
    assert after < before / 5
