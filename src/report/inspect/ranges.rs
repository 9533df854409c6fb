use crate::figure::ColourBar;
use crate::inspect::{Findings, LayerFindings, Map, MapKind, STUDENT};

/// Which values get which colours in the maps of one inspection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranges {
    /// The smallest cosine with a colour of its own.
    least_cosine: f32,
    /// Whether some cosines are smaller.
    below: bool,
}

impl Ranges {
    /// Cosines are coloured from 0 to 1, or from −1 where more than one in twenty
    /// is negative; the same for all maps, so that they can be compared.
    pub(super) fn of(findings: &Findings) -> Self {
        let layers = findings.images.iter().flat_map(|image| &image.layers);
        let maps = layers.flat_map(|layer| &layer.maps).filter(|map| map.kind != MapKind::Norm);
        let (mut count, mut negative) = (0usize, 0usize);
        for value in maps.flat_map(|map| &map.values).filter(|value| value.is_finite()) {
            count += 1;
            negative += usize::from(*value < 0.0);
        }
        let signed = negative * 20 > count;
        Self { least_cosine: if signed { -1.0 } else { 0.0 }, below: !signed && negative > 0 }
    }

    /// The colours of one map. Norms of the teacher and of its refinements at a
    /// layer share a range; the student has its own, as its space is another.
    pub(super) fn bar(&self, layer: &LayerFindings, map: &Map) -> ColourBar {
        if map.kind != MapKind::Norm {
            return ColourBar::cosine(self.least_cosine, self.below);
        }
        let student = map.subject == STUDENT;
        let alike = layer
            .maps
            .iter()
            .filter(|other| other.kind == MapKind::Norm && (other.subject == STUDENT) == student);
        let bar = ColourBar::from_zero(alike.flat_map(|map| map.values.iter().copied()));
        if student { bar } else { bar.marked(layer.threshold) }
    }

    /// What the colour bars of similarity mean, in a sentence.
    pub(super) fn cosine_sentence(&self) -> &'static str {
        match (self.least_cosine < 0.0, self.below) {
            (true, _) => "Similarity is coloured from −1 to 1.",
            (false, true) => {
                "Similarity is coloured from 0 to 1; the few negative values get the colour of 0."
            }
            (false, false) => "Similarity is coloured from 0 to 1; no value is negative.",
        }
    }
}
