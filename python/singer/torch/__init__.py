"""SiNGER in PyTorch alone: refined teacher features and the method's losses, for a training loop of your own.

It needs torch and safetensors, and no compiled module. Five lines bring the method to a loop with a timm student::

    from singer.torch import hook

    singer = hook(student, teacher, refine="closed.safetensors", layers=[17])
    optimizer.add_param_group({"params": singer.parameters()})
    ...
    loss = criterion(student(images), labels)
    loss = loss + singer(images).total

Source: Yu, Jeong et al., *SiNGER: A Clearer Voice Distills Vision Transformers Further*, ICLR 2026 (arXiv 2509.20986).
"""

from .hook import Hooked, attach, hook
from .losses import Losses, SingerLoss, gram, identity, outliers, patch_norms
from .mapping import map_layers
from .nullspace import linearised, nullspace_basis
from .refine import Refine, load_refinements, save_refinements

__all__ = [
    "Hooked",
    "Losses",
    "Refine",
    "SingerLoss",
    "attach",
    "gram",
    "hook",
    "identity",
    "linearised",
    "load_refinements",
    "map_layers",
    "nullspace_basis",
    "outliers",
    "patch_norms",
    "save_refinements",
]
