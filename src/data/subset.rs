use std::sync::Arc;

use image::RgbImage;

use super::{ImageSet, SharedImages};
use crate::error::Result;

/// At most `count` images of a set, evenly spread over it.
pub(crate) fn every_nth(images: SharedImages, count: usize) -> SharedImages {
    if count >= images.len() {
        return images;
    }
    Arc::new(Subset { images, count })
}

struct Subset {
    images: SharedImages,
    count: usize,
}

impl Subset {
    fn place(&self, index: usize) -> usize {
        index * self.images.len() / self.count
    }
}

impl ImageSet for Subset {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> &[String] {
        self.images.classes()
    }

    fn label(&self, index: usize) -> usize {
        self.images.label(self.place(index))
    }

    fn name(&self, index: usize) -> String {
        self.images.name(self.place(index))
    }

    fn file_size(&self, index: usize) -> Result<Option<u64>> {
        self.images.file_size(self.place(index))
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        self.images.read(self.place(index))
    }
}
