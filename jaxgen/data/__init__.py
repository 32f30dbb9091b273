"""Where images come from: named sources, the endless stream of batches, the way to the device."""

from jaxgen.data.base import Source
from jaxgen.data.pipeline import batches, plan
from jaxgen.data.sources import TABLE, open_source
from jaxgen.data.transfer import chunks, put_global

__all__ = ["TABLE", "Source", "batches", "chunks", "open_source", "plan", "put_global"]
