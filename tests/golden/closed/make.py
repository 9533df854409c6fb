"""Golden tensors of the closed form: `python tests/golden/closed/make.py` writes closed.safetensors beside itself.

The images are tokens in disguise: 4x4 pixels of 3 channels are the 48 components of a patch token, so that a ViT whose
embedding is the identity, and whose only block adds nothing, has them as its features. Artifacts lie along two directions,
content-dependent in strength.
"""
from pathlib import Path

import torch
import torch.nn.functional as F
from closed_form import estimate, norms, refine
from safetensors.torch import save_file

torch.manual_seed(0)
B, rows, columns, D = 24, 6, 6, 48
P = rows * columns
mix = torch.randn(D, D) / D**0.5
smooth = F.avg_pool2d(torch.randn(B, D, rows + 2, columns + 2), 3, 1).flatten(2).transpose(1, 2)
clean = (smooth * 3 + 0.3 * torch.randn(B, P, D)) @ mix
directions = F.normalize(torch.randn(2, D), dim=1)
raw = clean.clone()
hit = torch.rand(B, P) < 0.06
which = torch.randint(0, 2, (B, P))
strength = (4 + 4 * torch.rand(B, P, 1)) * norms(clean).median()
raw[hit] += (strength * directions[which])[hit]

patches = raw.reshape(B, rows, columns, 3, 4, 4).permute(0, 3, 1, 4, 2, 5).reshape(B, 3, rows * 4, columns * 4)
class_token = clean.mean((0, 1))
tokens = torch.cat([class_token.expand(B, 1, D), raw], 1)
found = estimate(tokens, rows)
assert found is not None and found["U"].shape[1] == 2
save_file(
    {
        "images": patches.contiguous(),
        "class_token": class_token,
        "clean": clean,
        "refined": refine(tokens, found).contiguous(),
        "projector": (found["U"] @ found["U"].T).contiguous(),
        "nothing": torch.tensor([float(estimate(torch.cat([tokens[:, :1], clean], 1), rows) is None)]),
    },
    Path(__file__).with_name("closed.safetensors"),
)
d = norms(refine(tokens, found)[:, 1:] - clean) / norms(clean)
print(f"artifacts {d[hit].mean():.3f}, others {d[~hit].mean():.4f}")
