use std::fmt::Write;

use super::Exporter;
use super::metadata::HubMetadata;
use super::transformers::Class;

/// What a model card says of a model beyond its shape.
#[derive(Debug, Clone)]
pub struct Card {
    /// One sentence on where the model comes from.
    pub origin: String,
    /// How it was made: settings and measurements, in order.
    pub facts: Vec<Fact>,
    /// What the hub reads.
    pub hub: HubMetadata,
}

/// A line of a card's table.
#[derive(Debug, Clone)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Default for Card {
    /// Of weights of which nothing is known.
    fn default() -> Self {
        Self {
            origin: "Converted by singer.".into(),
            facts: Vec::new(),
            hub: HubMetadata::default(),
        }
    }
}

impl Card {
    /// A card for the hub of a model that timm loads.
    pub(super) fn timm(&self, exporter: &Exporter<'_>) -> String {
        let head = exporter.config.num_classes > 0;
        let answer = if head { "logits" } else { "pooled" };
        let shape = if head { "[1, classes]" } else { "[1, D]" };
        let code = format!(
            "import timm
import torch
from PIL import Image

folder = \".\"  # where this file lies
model = timm.create_model(f\"local-dir:{{folder}}\", pretrained=True).eval()
# from the hub: timm.create_model(\"hf-hub:OWNER/NAME\", pretrained=True)
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
image = transform(Image.open(\"image.jpg\").convert(\"RGB\")).unsqueeze(0)
with torch.no_grad():
    features = model.forward_features(image)  # [1, T, D]
    {answer} = model(image)  # {shape}"
        );
        let other = "For transformers, export the same weights with `singer export --to hf`.";
        self.page(exporter, "timm", &code, other)
    }

    /// A card for the hub of a model that transformers loads.
    pub(super) fn transformers(&self, exporter: &Exporter<'_>, class: &Class<'_>) -> String {
        let name = class.name;
        let extra = class.extra_argument.map(|extra| format!(", {extra}")).unwrap_or_default();
        let (field, shape) = class.answer;
        let code = format!(
            "import torch
from PIL import Image
from transformers import AutoImageProcessor, {name}

folder = \".\"  # where this file lies, or OWNER/NAME on the hub
processor = AutoImageProcessor.from_pretrained(folder)
model = {name}.from_pretrained(folder{extra}).eval()
inputs = processor(images=Image.open(\"image.jpg\"), return_tensors=\"pt\")
with torch.no_grad():
    answer = model(**inputs).{field}  # {shape}"
        );
        let mut other =
            "For timm, export the same weights with `singer export --to timm`.".to_owned();
        for note in &class.notes {
            let _ = write!(other, "\n\nNote on {name}: {note}.");
        }
        self.page(exporter, "transformers", &code, &other)
    }

    fn page(&self, exporter: &Exporter<'_>, library: &str, code: &str, other: &str) -> String {
        let Exporter { arch, config, preprocessing, .. } = exporter;
        let head = config.num_classes > 0;
        let task = if head { "image-classification" } else { "image-feature-extraction" };
        let [height, width] = config.img_size;
        let family = exporter.preset().map_or("Vision Transformer", |p| p.family.title());
        let mut page = format!(
            "---
library_name: {library}
pipeline_tag: {task}
tags:
- {task}
- vision-transformer
- singer
{hub}---

# {arch}

{family}, {depth} blocks of width {dim}, patches of {patch} pixels, images of {height}x{width}. {origin}

Tokens `[T, D]` are {tokens}: {prefix} before the patches, then the patches in rows.
Images: {preparation}, mean {mean:?}, deviation {std:?}.

## Use

```python
{code}
```

{other}
",
            hub = self.hub.yaml(arch),
            depth = config.depth,
            dim = config.embed_dim,
            patch = config.patch_size,
            origin = self.origin,
            tokens = config.tokens(),
            prefix = config.prefix_tokens(),
            preparation = preprocessing.describe(config.img_size),
            mean = preprocessing.mean,
            std = preprocessing.std,
        );
        if !self.facts.is_empty() {
            page += "\n## How it was made\n\n| | |\n|---|---|\n";
            for Fact { name, value } in &self.facts {
                let cell = |text: &str| text.replace('|', "\\|").replace(char::is_control, " ");
                let _ = writeln!(page, "| {} | {} |", cell(name), cell(value));
            }
        }
        page += "\nWritten by [singer](https://github.com/singer-vit/singer-vit). The licence is that of the weights and data it was made from.\n";
        page
    }
}
