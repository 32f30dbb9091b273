"""Advice on what would be slow on a machine, or fail."""

from collections.abc import Iterator

from jaxgen.doctor.facts import Machine

SLOW_DISK = 50e6
"""Bytes per second below which a checkpoint takes seconds."""
SLOW_DATA = 20_000.0
"""Images of 28 x 28 per second below which a fast device waits for data."""
LITTLE_MEMORY, LITTLE_DISK = 3.0, 1.0
"""GiB below which the default run may not fit."""
SLOW_CONVOLUTION = 0.1
"""Fraction of the matmul rate below which convolutions are reported as slow."""
CLEAR_RATIO = 1.3
"""Ratio of two rates above which they are reported as different."""
BUSY = 0.3
"""Cores kept busy by other programs above which the rates are reported as disturbed."""


def advise(facts: Machine) -> list[str]:
    """Returns a line for each thing that would be slow or fail, with a remedy; the most serious come first."""
    return [*_unused_devices(facts), *_shortages(facts), *_slow_parts(facts)]


def _unused_devices(facts: Machine) -> Iterator[str]:
    """Yields a line for each device or process that training would not use."""
    on_cpu = facts.backend == "cpu"
    if on_cpu and facts.accelerator:
        install = f"pip install -e '.[{facts.accelerator}]'"
        remedy = f"JAX_PLATFORMS is {facts.platforms!r}: unset it" if facts.platforms else install
        yield f"this machine has a {facts.accelerator.upper()} that JAX does not use: {remedy}"
    if on_cpu and not facts.accelerator:
        yield "no accelerator: 28 x 28 images train in minutes, larger ones in hours; TPU_SETUP.md says how to get one"
    if facts.processes == 1 < facts.started_processes:
        yield (
            f"{facts.started_processes} processes were started and JAX knows of one: each would train alone; "
            "TPU_SETUP.md says how to connect them"
        )
    if on_cpu and facts.devices == 1 < facts.cores:
        yield (
            f"one host device for {facts.cores} cores, and a batched convolution uses one core of a device: unset "
            "JAX_NUM_CPU_DEVICES and XLA_FLAGS"
        )
    if facts.tensorflow_devices:
        yield "TensorFlow holds an accelerator that JAX needs: install tensorflow-cpu in its place"


def _shortages(facts: Machine) -> Iterator[str]:
    """Yields a line for memory, disk or a cache that is too small, too slow or missing."""
    disk = facts.rates["disk"]
    if disk is None:
        yield f"{facts.out}: cannot be written to: choose another folder with --out"
    elif disk < SLOW_DISK:
        yield f"{facts.out}: writes {disk / 1e6:.0f} MB/s; a run will wait for its last checkpoint"
    if facts.disk_gib < LITTLE_DISK:
        yield f"{facts.out}: {facts.disk_gib:.1f} GiB free; a run may fill the disk"
    if facts.memory_gib is not None and facts.memory_gib < LITTLE_MEMORY:
        yield f"{facts.memory_gib:.1f} GiB of memory free; the default run takes 2.3 GiB"
    if not facts.cache_kept:
        yield (
            f"compiled programs are not kept ({facts.cache or 'no folder'}), so every start compiles again: set "
            "JAX_COMPILATION_CACHE_DIR to a writable folder"
        )


def _slow_parts(facts: Machine) -> Iterator[str]:
    """Yields a line for each rate that is low compared with others."""
    if (facts.busy_cores or 0.0) > BUSY:
        yield f"other programs keep {facts.busy_cores:.1f} cores busy: the rates above are lower than the machine's"
    whole, half = facts.rates["matmul float32"], facts.rates["matmul bfloat16"]
    if half * CLEAR_RATIO < whole:
        yield f"bfloat16 products run at {half / whole:.2f} times the rate of float32: keep --dtype float32"
    if facts.backend != "cpu" and half > CLEAR_RATIO * whole:
        yield f"float32 products run at {whole / half:.2f} times the rate of bfloat16: try --dtype bfloat16"
    convolution = facts.rates["convolution and gradients"]
    if convolution < SLOW_CONVOLUTION * whole:
        yield f"convolutions run at {convolution / whole:.2f} times the rate of matmul: they decide the time of a step"
    images = facts.rates["images by tf.data"]
    if images < SLOW_DATA:
        yield f"tf.data delivers {images:,.0f} images of 28 x 28 per second: a fast device would wait"
