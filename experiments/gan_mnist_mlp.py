"""The GAN of the source tutorial on MNIST: both networks have one hidden layer of 1024 units; minimax loss.

Command:  python -m experiments.gan_mnist_mlp
"""

from jaxgen.cli import run_recipe
from jaxgen.tasks.gan.config import GanConfig, GanHparams, GanRecipe
from jaxgen.training.config import TrainConfig

CONFIG = GanRecipe(
    gan=GanConfig(architecture="mlp", loss="minimax", penalties=()),
    hparams=GanHparams(lr=2e-4, lr_final=2e-4, b1=0.5, b2=0.999, b2_final=0.999),
    # on a CPU, summing these gradients over two devices costs more than the second core gains
    train=TrainConfig(devices=1),
)


def main() -> None:
    """Trains from the command line."""
    run_recipe("gan_mnist_mlp", CONFIG, __doc__)


if __name__ == "__main__":
    main()
