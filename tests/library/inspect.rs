use crate::normal;
use burn::module::Module;
use burn::tensor::{Device as BurnDevice, Tensor};
use image::{Rgb, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use singer::data::{Normalise, Preprocess};
use singer::inspect::{
    Comparison, Drift, Findings, Injection, Inspection, Map, MapKind, Picture, clipped, inject,
    zeroed,
};
use singer::maps::FeatureMaps;
use singer::tokens::{patch_norms, quantile};
use singer::vit::{Vit, VitConfig, init_weights};
use singer::{Device, Model};

const NORMALISE: Normalise = Normalise { mean: [0.5; 3], std: [0.5; 3] };

fn config() -> VitConfig {
    VitConfig {
        img_size: [24, 16],
        patch_size: 8,
        embed_dim: 8,
        depth: 3,
        num_heads: 2,
        num_classes: 3,
        reg_tokens: 1,
        ..VitConfig::default()
    }
}

fn model(config: &VitConfig, seed: u64) -> Model {
    let vit = init_weights(config.build(&BurnDevice::flex()).unwrap(), seed);
    let preprocess = Preprocess { normalise: NORMALISE, ..Preprocess::default() };
    Model::from_parts(vit, "tiny", config.clone(), preprocess)
}

/// Nearly grey, but for one patch of noise.
fn picture(name: &str, grid: [usize; 2], noisy: [usize; 2]) -> Picture {
    let mut rng = ChaCha8Rng::seed_from_u64(name.len() as u64);
    let image = RgbImage::from_fn(grid[1] as u32 * 8, grid[0] as u32 * 8, |x, y| {
        match [y as usize / 8, x as usize / 8] == noisy {
            true => Rgb([rng.random(), rng.random(), rng.random()]),
            false => Rgb([128, 127, 128]),
        }
    });
    Picture { name: name.into(), image }
}

fn pictures() -> Vec<Picture> {
    vec![
        picture("a", [3, 2], [1, 1]),
        picture("bb", [2, 5], [0, 4]),
        picture("ccc", [3, 2], [2, 0]),
        picture("dddd", [3, 2], [0, 1]),
    ]
}

fn inspection() -> Inspection {
    let mut inspection = Inspection::default();
    inspection.layers = vec![0, 2];
    inspection.quantile = 0.8;
    inspection.training_free = Some(1.0);
    inspection.rank = Some(2);
    inspection.inject = true;
    inspection.batch = 2;
    inspection
}

/// The same with a change.
fn with(change: impl FnOnce(&mut Inspection)) -> Inspection {
    let mut changed = inspection();
    change(&mut changed);
    changed
}

fn cpu() -> (Device, FeatureMaps) {
    let opened = Device::cpu();
    let maps = FeatureMaps::new(&opened);
    (opened, maps)
}

fn look(compared: &Comparison, inspection: &Inspection) -> Findings {
    inspection.run(compared, &pictures(), &cpu().0).unwrap()
}

fn find<'a>(maps: &'a [Map], kind: MapKind, subject: &str) -> &'a Map {
    maps.iter().find(|map| map.kind == kind && map.subject == subject).unwrap()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn findings_equal_what_the_models_give_image_by_image() {
    let student = VitConfig { depth: 2, reg_tokens: 0, num_classes: 0, ..config() };
    let compared = Comparison::of(model(&config(), 3)).with_student(model(&student, 4));
    let findings = look(&compared, &inspection());
    let names: Vec<&str> = findings.images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["a", "bb", "ccc", "dddd"], "batches by grid keep the set's order");

    for (image, (picture, noisy)) in
        findings.images.iter().zip(pictures().iter().zip([[1, 1], [0, 4], [2, 0], [0, 1]]))
    {
        assert_eq!(image.marked, noisy, "the largest norm is that of the noise");
        let input = NORMALISE.batch([&picture.image], Device::cpu().burn()).unwrap();
        let tokens = |model: &Model, layer: usize| {
            let vit = model.vit().with_grid(model.config().grid(), image.grid).unwrap();
            vit.intermediate(input.clone(), &[layer]).remove(0)
        };
        for layer in &image.layers {
            let norms = patch_norms(tokens(&compared.teacher, layer.layer), 2);
            let found = find(&layer.maps, MapKind::Norm, "teacher");
            for (ours, theirs) in found.values.iter().zip(values(norms.clone())) {
                assert!((ours - theirs).abs() <= 1e-5 * theirs, "{ours} {theirs}");
            }
            let threshold = values(quantile(norms, 0.8))[0];
            assert!((layer.threshold - threshold).abs() <= 1e-5 * threshold);
            let above = found.values.iter().filter(|&&norm| norm > layer.threshold).count();
            assert_eq!(found.outliers, Some(above));

            let student = compared.student.as_ref().unwrap();
            let mapped = layer.student_layer.unwrap();
            let norms = values(patch_norms(tokens(student, mapped), 1));
            let found = &find(&layer.maps, MapKind::Norm, "student").values;
            assert!(found.iter().zip(&norms).all(|(a, b)| (a - b).abs() <= 1e-5 * b));

            let marked = noisy[0] * image.grid[1] + noisy[1];
            for subject in ["teacher", "training-free", "student"] {
                let similar = find(&layer.maps, MapKind::MarkedSimilarity, subject);
                assert!((similar.values[marked] - 1.0).abs() < 1e-5);
            }
        }
        let kinds: Vec<(MapKind, &str)> =
            image.layers[0].maps.iter().map(|map| (map.kind, map.subject.as_str())).collect();
        let each = ["teacher", "training-free", "student"];
        let mut expected: Vec<(MapKind, &str)> =
            [MapKind::Norm, MapKind::MarkedSimilarity].map(|kind| each.map(|s| (kind, s))).concat();
        expected.push((MapKind::TeacherStudentSimilarity, "teacher"));
        assert_eq!(kinds, expected);
    }
    assert!(findings.notes.iter().any(|note| note.contains("no run")), "{:?}", findings.notes);
}

#[test]
fn sums_over_the_set_agree_with_the_maps() {
    let compared = Comparison::of(model(&config(), 3));
    let findings = look(&compared, &inspection());
    let subject = |name: &str| findings.depth.iter().find(|series| series.subject == name).unwrap();
    let layers = |name: &str| subject(name).rows.iter().map(|row| row.layer).collect::<Vec<_>>();
    assert_eq!((layers("teacher"), layers("training-free")), (vec![0, 1, 2], vec![0, 2]));

    for (at, &layer) in findings.layers.iter().enumerate() {
        for name in ["teacher", "training-free"] {
            let maps: Vec<&Map> = findings
                .images
                .iter()
                .map(|image| find(&image.layers[at].maps, MapKind::Norm, name))
                .collect();
            let row = subject(name).rows.iter().find(|row| row.layer == layer).unwrap();
            let most = maps.iter().map(|map| map.summary[2]).fold(0.0, f32::max);
            assert_eq!(row.quantiles[7], most);
            assert!(
                row.quantiles.is_sorted_by(|a, b| a <= b) || row.quantiles[6] < row.quantiles[5]
            );

            let histogram = findings
                .histograms
                .iter()
                .find(|found| found.subject == name && found.teacher_layer == layer)
                .unwrap();
            let patches: usize = maps.iter().map(|map| map.values.len()).sum();
            assert_eq!(histogram.counts.iter().sum::<usize>(), patches);
            assert_eq!(histogram.edges.len(), histogram.counts.len() + 1);
            let last = histogram.counts.iter().rposition(|&count| count > 0).unwrap();
            let bin =
                histogram.edges[last] * (1.0 - 1e-6)..=histogram.edges[last + 1] * (1.0 + 1e-6);
            assert!(bin.contains(&most));

            // What covers an image covers the common grid as much.
            let share = |map: &&Map| {
                let outliers = map.values.iter().filter(|&&norm| norm > 3.0 * map.summary[1]);
                outliers.count() as f64 / map.values.len() as f64
            };
            let expected = maps.iter().map(share).sum::<f64>() / maps.len() as f64;
            let positions = findings
                .positions
                .iter()
                .find(|found| found.subject == name && found.layer == layer)
                .unwrap();
            assert_eq!(positions.grid, [3, 2], "the grid of most images");
            let mean = positions.share.iter().map(|&x| f64::from(x)).sum::<f64>() / 6.0;
            assert!((mean - expected).abs() < 1e-6, "{mean} {expected}");
            assert!(name != "teacher" || expected > 0.0, "the noise is an outlier");
        }
        let spectrum = &findings.spectra[at];
        assert_eq!((spectrum.layer, spectrum.block), (layer, (layer + 1).min(2)));
        assert!(spectrum.values.len() == 8 && spectrum.values.is_sorted_by(|a, b| a >= b));
    }
    let edges =
        |name: &str| &findings.histograms.iter().find(|found| found.subject == name).unwrap().edges;
    assert_eq!(edges("teacher"), edges("training-free"));

    let methods: Vec<(usize, &str)> =
        findings.injections.iter().map(|found| (found.layer, found.method.as_str())).collect();
    let each = ["training-free", "clipped", "zeroed"];
    assert_eq!(methods, [0, 2].map(|layer| each.map(|method| (layer, method))).concat());
    for injection in &findings.injections {
        assert_eq!(injection.blocks.len(), 3 - injection.layer);
        assert!(injection.blocks[0].relative_change > 0.0);
        // The final norm takes a mere change of scale back.
        assert!(injection.method == "clipped" || injection.patch_cosine < 0.9999);
        let logits = injection.logits.as_ref().unwrap();
        assert!(logits.kl >= 0.0 && (injection.layer == 2 || logits.kl > 0.0));
    }
}

#[test]
fn a_teacher_is_wholly_similar_to_itself() {
    let compared = Comparison::of(model(&config(), 3)).with_student(model(&config(), 3));
    let findings = look(&compared, &with(|one| one.layers = vec![0]));
    for image in &findings.images {
        assert_eq!(image.layers[0].student_layer, Some(0));
        let similar = find(&image.layers[0].maps, MapKind::TeacherStudentSimilarity, "teacher");
        assert!(similar.values.iter().all(|value| (value - 1.0).abs() < 1e-5));
    }
}

#[test]
fn what_cannot_be_looked_into_together_is_refused() {
    let (opened, _) = cpu();
    let teacher = || Comparison::of(model(&config(), 3));
    let other = VitConfig { img_size: [24, 12], patch_size: 4, ..config() };
    let mut mixed = teacher();
    mixed.student = Some(model(&other, 1));
    let odd = vec![Picture { name: "odd".into(), image: RgbImage::new(17, 8) }];
    let cases: [(Comparison, Inspection, Vec<Picture>, &str); 8] = [
        (teacher(), with(|one| one.layers = vec![3]), pictures(), "0 to 2"),
        (teacher(), with(|one| one.quantile = f64::NAN), pictures(), "quantile is NaN"),
        (teacher(), with(|one| one.rank = Some(9)), pictures(), "rank is 9"),
        (teacher(), with(|one| one.batch = 0), pictures(), "at least one image"),
        (teacher(), with(|one| one.mark = Some([2, 0])), pictures(), "bb: the marked"),
        (teacher(), inspection(), odd, "odd: 8x17"),
        (teacher(), inspection(), vec![], "no images"),
        (mixed, inspection(), pictures(), "8 pixels wide and the student's 4"),
    ];
    for (compared, inspection, pictures, part) in cases {
        let error = inspection.run(&compared, &pictures, &opened).unwrap_err();
        assert!(error.to_string().contains(part), "{error} lacks {part}");
    }
}

fn injected(vit: &Vit, layer: usize, before: &Tensor<3>, after: Tensor<3>) -> Injection {
    let (_, maps) = cpu();
    let mut drifts = inject(vit, &maps, layer, before.clone(), vec![after]).unwrap();
    let mut sum = Drift::default();
    sum.add(drifts.remove(0));
    sum.injection(layer, "method")
}

#[test]
fn unchanged_features_do_not_drift() {
    let vit = model(&config(), 6).into_vit();
    let tokens = normal([3, 9, 8], 2.0, 2);
    for layer in 0..3 {
        let injection = injected(&vit, layer, &tokens, tokens.clone());
        let one = |value: f32| (value - 1.0).abs() < 1e-6;
        for block in &injection.blocks {
            assert_eq!(block.relative_change, 0.0);
            assert!(one(block.class_cosine) && one(block.patch_cosine), "{block:?}");
        }
        assert!(one(injection.class_cosine) && one(injection.patch_cosine));
        let logits = injection.logits.unwrap();
        assert_eq!((logits.kl, logits.top1_agreement), (0.0, 1.0));
    }
}

/// A teacher whose blocks add nothing to the residual stream.
fn idle_teacher() -> Vit {
    let mut vit = model(&config(), 6).into_vit();
    for block in &mut vit.blocks {
        for linear in [&mut block.attn.proj, &mut block.mlp.fc2] {
            linear.weight = linear.weight.clone().map(|weight| weight.zeros_like());
        }
    }
    vit.no_grad()
}

#[test]
fn the_residual_stream_carries_a_known_change_to_the_head() {
    let vit = idle_teacher();
    let tokens = normal([2, 9, 8], 1.0, 3);
    let prefix = tokens.clone().narrow(1, 0, 2);
    let patches = tokens.clone().narrow(1, 2, 7);
    // What is done to the patches, the cosine and the change it makes.
    for (factor, cosine, change) in [(-1.0, -1.0, 2.0), (3.0, 1.0, 2.0), (0.5, 1.0, 0.5)] {
        let changed = Tensor::cat(vec![prefix.clone(), patches.clone() * factor], 1);
        let injection = injected(&vit, 0, &tokens, changed);
        assert_eq!(injection.blocks.len(), 3);
        for block in &injection.blocks {
            assert!((block.patch_cosine - cosine).abs() < 1e-5, "{block:?}");
            assert!((block.relative_change - change).abs() < 1e-5, "{block:?}");
            assert!((block.class_cosine - 1.0).abs() < 1e-6);
        }
        // LayerNorm without gain and bias turns with the sign and forgets the scale.
        assert!((injection.patch_cosine - cosine).abs() < 1e-4);
        assert_eq!(injection.logits.unwrap().kl, 0.0, "the class token is as it was");
    }

    // The class token turned round, and the head's answer worked out in f64.
    let turned =
        Tensor::cat(vec![-tokens.clone().narrow(1, 0, 1), tokens.clone().narrow(1, 1, 8)], 1);
    let injection = injected(&vit, 1, &tokens, turned);
    assert!(
        (injection.class_cosine + 1.0).abs() < 1e-5 && injection.blocks[1].relative_change == 0.0
    );
    let weight = values(vit.head.as_ref().unwrap().weight.val());
    let class = values(tokens.narrow(1, 0, 1));
    let (mut kl, mut agree) = (0.0, 0.0);
    for token in class.chunks(8) {
        let token: Vec<f64> = token.iter().map(|&x| f64::from(x)).collect();
        let mean = token.iter().sum::<f64>() / 8.0;
        let variance = token.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 8.0;
        let logit = |sign: f64, class: usize| -> f64 {
            let normed = token.iter().map(|x| sign * (x - mean) / (variance + 1e-6).sqrt());
            normed.enumerate().map(|(i, x)| x * f64::from(weight[i * 3 + class])).sum()
        };
        let log_softmax = |sign: f64| -> [f64; 3] {
            let logits: [f64; 3] = std::array::from_fn(|class| logit(sign, class));
            let total = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
            logits.map(|x| x - total)
        };
        let (p, q) = (log_softmax(1.0), log_softmax(-1.0));
        kl += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>() / 2.0;
        let best = |x: [f64; 3]| (0..3).max_by(|&a, &b| x[a].total_cmp(&x[b]));
        agree += f64::from(best(p) == best(q)) / 2.0;
    }
    let logits = injection.logits.unwrap();
    assert!(kl > 1e-4 && (f64::from(logits.kl) - kl).abs() < 1e-3 * kl, "{logits:?} {kl}");
    assert!((f64::from(logits.top1_agreement) - agree).abs() < 1e-6);
}

#[test]
fn controls_touch_outliers_only() {
    let (_, maps) = cpu();
    let tokens = normal([2, 11, 6], 2.0, 4);
    let norms = maps.norms(tokens.clone(), 1).unwrap();
    let outliers = maps.outliers(norms.clone(), 0.75).unwrap();
    let (mask, threshold) = (values(outliers.mask.clone()), values(outliers.threshold.clone()));
    assert!(mask.contains(&1.0) && mask.contains(&0.0));
    let before = values(norms.clone());
    let changed =
        [clipped(tokens.clone(), norms, &outliers, 1), zeroed(tokens.clone(), &outliers, 1)];
    for (which, changed) in changed.into_iter().enumerate() {
        let prefix = |tokens: &Tensor<3>| values(tokens.clone().narrow(1, 0, 1));
        assert_eq!(prefix(&changed), prefix(&tokens));
        let after = values(maps.norms(changed, 1).unwrap());
        for (patch, (&is, &was)) in after.iter().zip(&before).enumerate() {
            let wanted = match (mask[patch] == 1.0, which) {
                (false, _) => was,
                (true, 0) => threshold[patch / 10],
                (true, _) => 0.0,
            };
            assert!((is - wanted).abs() < 1e-5, "{is} {wanted}");
        }
    }
}
