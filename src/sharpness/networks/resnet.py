"""ResNet with the CIFAR stem: He, Zhang, Ren & Sun, "Deep Residual Learning", CVPR 2016 (arXiv:1512.03385)."""

from torch import Tensor, nn
from torch.nn import functional as F

TITLE = "ResNet"
CITATION = "he2016"
RANGES = {"blocks": (1, 100), "width": (1, 2000)}


class Block(nn.Module):
    """Basic block, relu(x + bn(conv3x3(relu(bn(conv3x3(x)))))); x is projected where its shape changes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.projection = None
        if stride != 1 or in_channels != out_channels:
            self.projection = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        y += x if self.projection is None else self.projection(x)
        return F.relu(y, inplace=True)


class ResNet(nn.Module):
    """Four stages of basic blocks behind one 3×3 convolution, for images of at least 8×8; ResNet-18 by default.

    Args:
        blocks: blocks in each stage.
        width: channels of the first stage, doubled from stage to stage.

    The parameters start as PyTorch's layers set them. Maps (n, in_channels, height, width) to logits (n, num_classes).
    """

    output_stride = 8

    def __init__(self, in_channels: int, num_classes: int, *, blocks: int = 2, width: int = 64):
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential()
        channels = width
        for stage in range(4):
            for index in range(blocks):
                out_channels = width * 2**stage
                self.blocks.append(Block(channels, out_channels, stride=2 if stage > 0 and index == 0 else 1))
                channels = out_channels
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        x = self.blocks(x)
        return self.head(x.mean((2, 3)))


NETWORK = ResNet
