//! What devices say of themselves, and the self-test.

use singer::Device;
use singer::vit::Precision;

#[test]
fn the_software_device_passes_its_self_test_in_every_precision_it_has() {
    let device = Device::open("software").expect("software Vulkan must be installed");
    let capabilities = device.capabilities();
    assert!(capabilities.compiler.is_some() && !capabilities.card);
    assert_eq!(capabilities.precisions[0], Precision::F32);
    for &precision in &capabilities.precisions {
        let test = device.self_test(precision).unwrap();
        assert!(test.passed(), "{test}");
        let tested = device.tested_precision(precision).unwrap();
        assert_eq!((tested.precision, tested.failed), (precision, None));
    }
    assert_eq!(capabilities.fastest(), Precision::F32, "software is no faster in halves");
}

#[test]
fn the_cpu_computes_in_every_precision_and_fastest_in_f32() {
    let cpu = Device::cpu();
    assert_eq!(cpu.capabilities().fastest(), Precision::F32);
    for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
        assert!(cpu.self_test(precision).unwrap().passed());
    }
}
