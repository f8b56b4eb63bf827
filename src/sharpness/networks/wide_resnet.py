"""WideResNet: Zagoruyko & Komodakis, "Wide Residual Networks", BMVC 2016 (arXiv:1605.07146)."""

from torch import Tensor, nn
from torch.nn import functional as F

TITLE = "WideResNet"
CITATION = "zagoruyko2016"
RANGES = {"depth": (10, 1000, 6), "width": (1, 20_000)}


class Block(nn.Module):
    """Pre-activation block: x + conv3x3(relu(bn(conv3x3(y)))) with y = relu(bn(x)).

    Where the number of channels changes, a 1×1 convolution of y takes the place of x.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.projection = None
        if in_channels != out_channels:
            self.projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x), inplace=True)
        shortcut = x if self.projection is None else self.projection(activated)
        y = self.conv1(activated)
        y = self.conv2(F.relu(self.norm2(y), inplace=True))
        y += shortcut
        return y


class WideResNet(nn.Module):
    """WRN-depth-width for images of at least 4×4: three stages of (depth − 4) / 6 blocks, 16·width channels at first.

    Convolutions start He-normal over the fan-in, the last linear layer at zero, so that an untrained network predicts
    every class alike. Maps (n, in_channels, height, width) to logits (n, num_classes).
    """

    output_stride = 4

    def __init__(self, in_channels: int, num_classes: int, *, depth: int = 22, width: int = 8):
        super().__init__()
        self.stem = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.blocks = nn.Sequential()
        channels = 16
        for stage in range(3):
            for index in range((depth - 4) // 6):
                out_channels = 16 * width * 2**stage
                self.blocks.append(Block(channels, out_channels, stride=2 if stage > 0 and index == 0 else 1))
                channels = out_channels
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        x = F.relu(self.norm(x), inplace=True)
        return self.head(x.mean((2, 3)))


NETWORK = WideResNet
