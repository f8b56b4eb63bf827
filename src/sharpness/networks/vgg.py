"""VGG without BatchNorm: Simonyan & Zisserman, "Very Deep Convolutional Networks", ICLR 2015 (arXiv:1409.1556)."""

from collections.abc import Sequence

from torch import Tensor, nn

TITLE = "VGG"
CITATION = "simonyan2015"
RANGES = {"convolutions": (1, 16), "width": (1, 2000), "head": (1, 65_536)}


class VGG(nn.Module):
    """Stages of 3×3 convolutions, each stage ended by a 2×2 max-pool, under a head of three linear layers.

    VGG-16 by default. The image must be at least 2^stages pixels wide and high.

    Args:
        convolutions: convolutions in each stage; its length is the number of stages.
        width: channels of the first stage, doubled from stage to stage up to 8·width.
        head: features of the two hidden linear layers, each behind a Dropout(0.5).
        image_size: pixels a side. What the last stage leaves of them, all of it, is the head's input.

    Convolutions start from N(0, 2 / (9·out_channels)) with zero bias, linear layers as PyTorch sets them. Maps
    (n, in_channels, height, width) to logits (n, num_classes).
    """

    output_stride = "convolutions"

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        convolutions: Sequence[int] = (2, 2, 3, 3, 3),
        width: int = 64,
        head: int = 512,
        image_size: int = 32,
    ):
        super().__init__()
        self.features = nn.Sequential()
        channels = in_channels
        for stage, count in enumerate(convolutions):
            for _ in range(count):
                out_channels = width * min(2**stage, 8)
                self.features.append(nn.Conv2d(channels, out_channels, 3, padding=1))
                self.features.append(nn.ReLU(inplace=True))
                channels = out_channels
            self.features.append(nn.MaxPool2d(2))
        self.head = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(channels * (image_size // 2 ** len(convolutions)) ** 2, head),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(head, head),
            nn.ReLU(inplace=True),
            nn.Linear(head, num_classes),
        )

        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


NETWORK = VGG
