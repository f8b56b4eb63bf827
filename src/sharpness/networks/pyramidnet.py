"""PyramidNet: Han, Kim & Kim, "Deep Pyramidal Residual Networks", CVPR 2017 (arXiv:1610.02915)."""

from torch import Tensor, nn
from torch.nn import functional as F

TITLE = "PyramidNet"
CITATION = "han2017"
RANGES = {"depth": (11, 1000), "alpha": (1, 2000), "width": (1, 2000)}
EXPANSION = 4


class Bottleneck(nn.Module):
    """x + bn(conv1x1(relu(bn(conv3x3(relu(bn(conv1x1(bn(x)))))))), from in_channels to 4·width channels.

    The shortcut has no parameters: x is average-pooled where the block strides, and padded with channels of zeros.
    """

    def __init__(self, in_channels: int, width: int, stride: int):
        super().__init__()
        self.stride = stride
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, EXPANSION * width, 1, bias=False)
        self.norm4 = nn.BatchNorm2d(EXPANSION * width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.norm1(x))
        y = self.conv2(F.relu(self.norm2(y), inplace=True))
        y = self.conv3(F.relu(self.norm3(y), inplace=True))
        y = self.norm4(y)
        shortcut = x if self.stride == 1 else F.avg_pool2d(x, self.stride, ceil_mode=True)
        y += F.pad(shortcut, (0, 0, 0, 0, 0, y.shape[1] - shortcut.shape[1]))
        return y


class PyramidNet(nn.Module):
    """Bottleneck PyramidNet for images of at least 4×4: blocks grow linearly from `width` to `width` + alpha.

    Each of the three stages has (depth − 2) // 9 blocks, so a depth of 16 gives one block a stage, as depth 11 does.
    Convolutions start He-normal over the fan-out. Maps (n, in_channels, height, width) to logits (n, num_classes).
    """

    output_stride = 4

    def __init__(self, in_channels: int, num_classes: int, *, depth: int = 16, alpha: int = 48, width: int = 16):
        super().__init__()
        blocks_per_stage = (depth - 2) // 9
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential()
        channels = width
        for index in range(3 * blocks_per_stage):
            block_width = round(width + alpha * (index + 1) / (3 * blocks_per_stage))
            starts_stage = index > 0 and index % blocks_per_stage == 0
            self.blocks.append(Bottleneck(channels, block_width, stride=2 if starts_stage else 1))
            channels = EXPANSION * block_width
        self.norm2 = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, num_classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.norm1(self.stem(x)))
        x = F.relu(self.norm2(x), inplace=True)
        return self.head(x.mean((2, 3)))


NETWORK = PyramidNet
